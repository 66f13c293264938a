"""The page of real texts says what was measured, what was to be reached, and who the teacher is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.real_texts.goals import (
    best_whitened,
    better_whitened_of_each,
    retrieval_goals,
    safety_goals,
    sets_below,
)
from benchmarks.real_texts.page import as_page, ways, write_page

DOCS = Path(__file__).parent.parent.parent / "docs"
RESULTS, PAGE = DOCS / "evidence" / "real_texts.json", DOCS / "real_texts.md"

NDCG = {
    "bm25": 0.5,
    "states_centred": 0.2,
    "states_whitened_middle": 0.3,
    "states_whitened_last": 0.25,
    "teacher": 0.6,
    "ours": 0.4,
    "hybrid_rrf": 0.45,
    "hybrid_default": 0.5,
    "hybrid_weighted": 0.55,
}


RECORD = {
    "commit": "c" * 40, "fingerprint": "f" * 64, "processor": "AMD EPYC", "family": 26, "model": 2,
    "threads": 2, "versions": {"torch": "2.13.0+cpu", "transformers": "5.23.0"},
}  # fmt: skip


def a_set(**changes):
    return {
        "documents": 20,
        "queries": 4,
        "hybrid_weight": 0.3,
        "ndcg": {way: [ndcg, ndcg] for way, ndcg in {**NDCG, **changes}.items()},
    }


def an_unseen_set():
    ndcg = a_set()["ndcg"]
    del ndcg["hybrid_weighted"]  # no weight is fitted
    shared = {"relevant_documents": 20, "relevant_in_the_first_cut": 4}
    return {"documents": 30, "queries": 2, "ndcg": ndcg, **shared}


def decoded_texts(own, another):
    example = {"id": "1", "query": "a|b", "decoded": "x" * 500, "answer": "*y*"}
    return {
        "own_answer": own,
        "another_answer": another,
        "query_and_answer": [0.7] * len(own),
        "examples": [example],
    }


def score(jailbreakbench, xstest, refused):
    sets = {
        name: {
            "harmful": 9, "safe": 8, "auc": auc, "auc_interval": [auc - 0.1, auc + 0.1],
            "harmful_refused": 0.7, "safe_refused": 0.1,
        }
        for name, auc in (("jailbreakbench", jailbreakbench), ("xstest", xstest))
    }  # fmt: skip
    return {"held_out_refused": refused, "sets": sets}


@pytest.fixture
def figures():
    similar = dict.fromkeys(
        ("worst_cosine", "mean_cosine", "worst_centred_cosine", "mean_centred_cosine"), 0.99
    )
    dtype = {
        "documents": similar,
        "queries": similar,
        "ndcg": 0.4,
        "ndcg_interval": [0.3, 0.5],
        "ndcg_ratio": [0.99, 0.97, 1.01],
    }
    # fmt: off
    return {
        "made": {
            "model": "smollm2", "middle_layer": 24, "max_length": 128, "rows_sha256": "a1" * 32,
        },
        "sets": {"first": a_set(), "second": a_set(ours=0.2, hybrid_weighted=0.52)},
        "unseen": {"first": an_unseen_set(), "second": an_unseen_set()},
        "whole": {
            "max_length": 506, "longer": {"first": 7, "second": 0},
            "sets": {"first": a_set(ours=0.5), "second": a_set(ours=0.5)},
            "unseen": {"first": an_unseen_set(), "second": an_unseen_set()},
        },
        "recipes": {
            "untrained": {
                "dimension": 8,
                "ndcg": {"first": [0.3, 0.3], "second": [0.1, 0.1]},
                "provenance": RECORD | {"commit": "d" * 40},
            },
        },
        "variants": {"base": {"ndcg": {"first": [0.2, 0.6], "second": [0.1, 0.1]}}},
        "hyde": {
            "first": {"queries": 1, "seconds_per_query_side_by_side": 1.5, "ndcg": [0.35]},
        },
        "latency": {"milliseconds": {"ours": 12.3, "teacher": 4.5, "hyde": 2100.0}},
        "safety": {
            "trained_on": {"harmful": 500, "safe": 400, "ordinary": 300},
            "held_out": 1000,
            "seen_and_dropped": {"jailbreakbench": 2, "xstest": 0},
            "nearness": score(0.9, 0.7, 0.01),
            "regression": score(0.8, 0.85, 0.05),
        },
        "overlap": {
            "training_texts": 21000, "long_training_texts": 20000,
            "sets": {
                "first": {
                    "documents": 99, "documents_seen": 3, "queries": 40, "queries_seen": 1,
                    "training_texts_inside": 5,
                }
            },
            "prompts": {
                "xstest": {
                    "harmful": 9, "harmful_near": 2, "harmful_nearest": 0.85,
                    "safe": 8, "safe_near": 0, "safe_nearest": 0.5,
                }
            },
        },
        "decoded": {
            "encoder": "all-mpnet-base-v2", "sets": {"first": decoded_texts([0.2, 0.3], [0.1, 0.1])}
        },
        "provenance": {"sets": RECORD, "unseen": RECORD, "latency": RECORD},
        "accuracy": {"scifact": {"documents": 60, "queries": 40, "dtypes": {"int8": dtype}}},
    }
    # fmt: on


def test_the_better_whitened_layer_is_the_baseline(figures):
    assert best_whitened(figures["sets"]) == "states_whitened_middle"


def test_goals_of_retrieval_are_judged_by_the_means_over_sets(figures):
    goals = {row[0]: row[1:] for row in retrieval_goals(figures["sets"])}
    assert goals["ours / the LLM's centred states"] == ["≥ 1.5", "1.500", "1.500 to 1.500", "yes"]
    assert goals["ours / the LLM's whitened states"][1:] == ["1.000", "1.000 to 1.000", "no"]
    assert goals["sets where ours is below the whitened states"][1] == "1 (second)"
    assert goals["ours with BM25, fitted weight / BM25"][1] == "1.070"
    assert goals["the same on the worst set, second"][1:] == ["1.040", "", "yes"]


def test_the_better_layer_of_each_set_is_another_baseline(figures):
    sets = {"first": a_set(), "second": a_set(states_whitened_last=0.45)}
    better = better_whitened_of_each(sets)
    assert [better[name].mean() for name in sets] == pytest.approx([0.3, 0.45])
    assert sets_below({name: better[name] - 0.01 for name in sets}, better) == ["first", "second"]
    figures["sets"] = sets
    said = "the ratio is 1.067 (1.067 to 1.067); sets where ours is below that layer: 1 (second)."
    assert said in as_page(figures)


def test_unseen_queries_have_the_goals_without_a_fitted_weight(figures):
    (part,) = (part for part in as_page(figures).split("\n## ") if part.startswith("Queries on"))
    assert "| ours / the LLM's whitened states | ≥ 1.1 | 1.333 | 1.333 to 1.333 | yes |" in part
    assert "`hybrid_search` / BM25" in part
    assert "fitted weight" not in part
    assert "| first | 30 | 2 | 0.500 <sub>0.50–0.50</sub> |" in part
    del figures["unseen"]
    assert "Other queries of the same sets are not measured yet." in as_page(figures)


def test_texts_as_long_as_a_collection_reads_them_have_the_goals_of_both_cuts(figures):
    (part,) = (part for part in as_page(figures).split("\n## ") if part.startswith("Texts as"))
    assert "first 128 tokens" in part
    assert "leaves 506 for the text; longer are 7 of 20 of first." in part
    assert "| ours / the LLM's whitened states | ≥ 1.1 | 1.667 | 1.667 to 1.667 | yes |" in part
    assert "| ours / the LLM's whitened states | ≥ 1.1 | 1.333 | 1.333 to 1.333 | yes |" in part


def test_ours_stands_beside_bm25_for_which_no_bound_is_set(figures):
    assert "| ours / BM25 | none set | 0.600 | 0.600 to 0.600 |  |" in as_page(figures)


def test_what_was_chosen_by_the_figures_stands_before_them(figures):
    before = as_page(figures).partition("\n## ")[0]
    assert "20 to 20 documents" in before
    assert "weight" in before
    assert "third\ntraining round" in before
    assert "which\nsafety prompts" in before


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([0.5, 0.5], "finds less than the question: -0.100 (95 % interval -0.100 to -0.100)"),
        ([0.7, 0.7], "finds more than the question: +0.100"),
        ([0.1, 1.0], "is not settled: -0.050 (95 % interval -0.500 to +0.400)"),
    ],
)
def test_a_written_answer_is_judged_by_the_interval_of_the_difference(figures, written, said):
    figures["hyde"]["first"] |= {"queries": 2, "ndcg": written}
    assert said in as_page(figures)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([0.2, 0.2], "nearer to its own query's answer than to another's**, +0.100"),
        ([0.0, 0.0], "further from its own query's answer than another's**, -0.100"),
        ([0.0, 0.3], "**No topic is found"),
    ],
)
def test_decoded_texts_are_judged_by_the_interval_of_the_difference(figures, own, said):
    figures["decoded"]["sets"]["first"] = decoded_texts(own, [0.1, 0.1])
    page = as_page(figures)
    assert said in page
    assert "all-mpnet-base-v2, a third encoder" in page


def test_a_part_of_texts_seen_in_training(figures):
    page = as_page(figures)
    assert "| first | 3 of 99 | 1 of 40 | 5 |" in page
    assert "| xstest | 2 of 9, nearest 0.85 | 0 of 8, nearest 0.50 |" in page
    assert "21,000 texts" in page


def test_each_part_has_what_it_was_measured_with(figures):
    end = as_page(figures).rpartition("\n## ")[2]
    fields = "fffffff ... | AMD EPYC (family 26, model 2) | 2.13.0+cpu | 5.23.0 |"
    parts = "Goals, Retrieval; Queries on which nothing was chosen; One query"
    assert f"| {parts} | ccccccc ... | {fields}" in end
    assert f"| Other recipes | ddddddd ... | {fields}" in end
    assert "Accuracy by dtype | not recorded | not recorded |" in end
    assert "a1" * 32 in end


def test_recipes_of_different_times_are_apart(figures):
    figures["recipes"]["another"] = figures["recipes"]["untrained"] | {"provenance": RECORD}
    end = as_page(figures).rpartition("\n## ")[2]
    assert "One query; Other recipes: another" in end or "Other recipes: another; One query" in end
    assert "| Other recipes: untrained | ddddddd ... |" in end


def test_the_time_of_a_query_names_its_processor(figures):
    assert "on a CPU (AMD EPYC (family 26, model 2), 2 threads)" in as_page(figures)
    del figures["provenance"]
    assert "on a CPU (not recorded)" in as_page(figures)


def test_goals_of_safety_are_judged_for_both_scores(figures):
    reached = {row[0]: row[4] for row in safety_goals(figures["safety"])}
    assert reached["AUC on jailbreakbench, nearness to refusals"] == "yes, not settled"
    assert reached["AUC on xstest, logistic regression"] == "yes, not settled"
    assert reached["AUC on xstest, nearness to refusals"] == "no"
    assert reached["held-out ordinary questions read as refusals, logistic regression"] == "no"


def test_the_page_has_every_part_and_says_who_taught_the_model_in_each(figures):
    page = as_page(figures)
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert [heading[3:] for heading in headings] == [
        "Goals",
        "Retrieval",
        "Queries on which nothing was chosen",
        "Texts as long as a collection reads them",
        "Other recipes",
        "Short training runs",
        "A written answer (HyDE)",
        "One query",
        "Harmful prompts",
        "Training texts among the measured ones",
        "Decoded embeddings",
        "Accuracy by dtype",
        "Measured with",
    ]
    assert all("supervised" in part for part in page.split("\n## ")[:-1])
    assert page.endswith("\n")
    assert not page.endswith("\n\n")


def test_another_recipe_stands_beside_the_llms_states(figures):
    row = "| untrained | 0.300 | 0.100 | 0.200 <sub>0.20–0.20</sub> | 1.000 <sub>1.00–1.00</sub> |"
    assert f"{row} 0.667 <sub>0.67–0.67</sub> |" in as_page(figures)


def test_every_way_has_its_column_and_every_set_its_row(figures):
    page = as_page(figures)
    headers = [line for line in page.splitlines() if line.startswith("| nDCG@10 | documents")]
    assert all(heading in headers[0] for heading in ways(figures).values())
    assert len(headers) == 4  # of both cuts, and of both at full length
    assert "| first | 20 | 4 | 0.500 <sub>0.50–0.50</sub> |" in page
    assert "| **mean** |" in page


def test_what_was_not_measured_is_not_on_the_page(figures):
    for part in ("hyde", "safety", "decoded", "accuracy", "latency"):
        del figures[part]
    page = as_page(figures)
    assert "## Retrieval" in page
    assert "Harmful" not in page
    assert "AUC" not in page


def test_a_text_in_a_table_is_read_literally_and_cut(figures):
    page = as_page(figures)
    assert "| a\\|b | " + "x" * 160 + " … | \\*y\\* |" in page


def test_the_page_is_that_of_its_results(tmp_path):
    if not RESULTS.is_file():
        pytest.skip("there are no results yet")
    write_page(RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    recipes = (each.get("provenance") for each in figures.get("recipes", {}).values())
    records = [*figures.get("provenance", {}).values(), *recipes]
    assert not any(record and str(record["commit"]).endswith("-dirty") for record in records)
