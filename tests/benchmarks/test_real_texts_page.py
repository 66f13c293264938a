"""The page of real texts says what was measured, what was to be reached, and who the teacher is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.real_texts.goals import best_whitened, retrieval_goals, safety_goals
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


def a_set(**changes):
    return {
        "documents": 20,
        "queries": 4,
        "hybrid_weight": 0.3,
        "ndcg": {way: [ndcg, ndcg] for way, ndcg in {**NDCG, **changes}.items()},
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
    example = {"id": "1", "query": "a|b", "decoded": "x" * 500, "answer": "*y*", "cosine": 0.1}
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
    return {
        "made": {"commit": "c" * 40, "model": "smollm2", "middle_layer": 24, "max_length": 128},
        "sets": {"first": a_set(), "second": a_set(ours=0.2, hybrid_weighted=0.52)},
        "recipes": {
            "untrained": {"dimension": 8, "ndcg": {"first": [0.3, 0.3], "second": [0.1, 0.1]}}
        },
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
        "decoded": {
            "first": {"own_answer": 0.2, "another_answer": 0.1, "examples": [example]},
        },
        "accuracy": {"scifact": {"documents": 60, "queries": 40, "dtypes": {"int8": dtype}}},
    }


def test_the_better_whitened_layer_is_the_baseline(figures):
    assert best_whitened(figures["sets"]) == "states_whitened_middle"


def test_goals_of_retrieval_are_judged_by_the_means_over_sets(figures):
    goals = {row[0]: row[1:] for row in retrieval_goals(figures["sets"])}
    assert goals["ours / the LLM's centred states"] == ["≥ 1.5", "1.500", "1.500 to 1.500", "yes"]
    assert goals["ours / the LLM's whitened states"][1:] == ["1.000", "1.000 to 1.000", "no"]
    assert goals["sets where ours is below the whitened states"][1] == "1 (second)"
    assert goals["ours with BM25, fitted weight / BM25"][1] == "1.070"
    assert goals["the same on the worst set, second"][1:] == ["1.040", "", "yes"]


def test_goals_of_safety_are_judged_for_both_scores(figures):
    reached = {row[0]: row[4] for row in safety_goals(figures["safety"])}
    assert reached["AUC on jailbreakbench, nearness to refusals"] == "yes"
    assert reached["AUC on xstest, nearness to refusals"] == "no"
    assert reached["held-out ordinary questions read as refusals, logistic regression"] == "no"


def test_the_page_has_every_part_and_says_who_taught_the_model_in_each(figures):
    page = as_page(figures)
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert [heading[3:] for heading in headings] == [
        "Goals",
        "Retrieval",
        "Other recipes",
        "A written answer (HyDE)",
        "One query",
        "Harmful prompts",
        "Decoded embeddings",
        "Accuracy by dtype",
    ]
    assert all("supervised" in part for part in page.split("\n## "))
    assert page.endswith("\n")
    assert not page.endswith("\n\n")


def test_another_recipe_stands_beside_the_llms_states(figures):
    row = "| untrained | 0.300 | 0.100 | 0.200 <sub>0.20–0.20</sub> | 1.000 <sub>1.00–1.00</sub> |"
    assert f"{row} 0.667 <sub>0.67–0.67</sub> |" in as_page(figures)


def test_every_way_has_its_column_and_every_set_its_row(figures):
    page = as_page(figures)
    (header,) = (line for line in page.splitlines() if line.startswith("| nDCG@10 | documents"))
    assert all(heading in header for heading in ways(figures).values())
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
    assert not json.loads(RESULTS.read_text(encoding="utf-8"))["made"]["commit"].endswith("-dirty")
