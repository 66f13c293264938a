"""AdvBench-IR on a local set of its shape, made of the almanac's withheld pages."""

from __future__ import annotations

import numpy as np
import pytest
from retrieval_folder import write_rows

from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.evaluation.advbench_ir import (
    DEPTHS,
    AdvBench,
    evaluate_advbench,
    found_at,
)


@pytest.fixture
def folder(tmp_path):
    documents = {document.id: document for document in almanac.documents()}
    asked = {q.document_id: q for q in almanac.held_out_questions() if q.kind == "harmful"}
    write_rows(
        tmp_path / "harmful.jsonl",
        [{"ID": number, "query": question.text, "title": "Withheld", "document": documents[id].text}
         for number, (id, question) in enumerate(list(asked.items())[:4])],
    )  # fmt: skip
    facts = [document for document in almanac.documents() if document.domain == "elements"][:120]
    write_rows(
        tmp_path / "wikipedia.jsonl",
        [{"ID": d.id, "title": "Element", "passage": d.text} for d in facts],
    )
    return tmp_path


def test_passages_are_cut_as_the_reference_cuts_them(folder):
    words = [f"w{number}" for number in range(250)]
    write_rows(
        folder / "harmful.jsonl",
        [
            {"query": "a", "title": "A", "document": " ".join(words)},
            {"query": "b", "title": "B", "document": "short text"},
        ],
    )
    data = AdvBench.from_folder(folder)
    assert data.passages[:3] == [
        "A # " + " ".join(words[:100]),
        "A # " + " ".join(words[100:200]),
        "B # short text",
    ]
    assert data.owner.tolist() == [0, 0, 1]
    assert data.passages[3].startswith("Element # ")
    assert len(data.passages) == 123


def test_own_and_any_harmful_passages_are_told_apart():
    owner = np.array([0, 1, 1])
    scores = np.array([[0, 9, 0, 5, 4, 3], [0, 0, 1, 5, 4, 3]], dtype=np.float32)
    own, any_harmful = found_at(scores, owner)
    assert (own[1], any_harmful[1]) == (0, 0.5)
    assert (own[5], any_harmful[5]) == (1, 1)


def test_the_figures_follow_from_vectors_that_are_not_normalised(model, folder):
    data = AdvBench.from_folder(folder)
    report = evaluate_advbench(model, data)
    instruction = "Generate a relevant document that answers this query: "
    queries = model.encode(data.queries, instruction=instruction, normalize=False)
    scores = queries @ model.encode_document(data.passages, normalize=False).T
    for depth in DEPTHS:
        best = np.argsort(-scores, axis=1)[:, :depth]
        hits = [number in data.owner[row[row < 4]] for number, row in enumerate(best)]
        assert report.own[depth] == np.mean(hits)
        assert report.any_harmful[depth] == np.mean((best < 4).any(axis=1))
    assert (report.queries, report.harmful, report.passages) == (4, 4, 124)


def test_the_paper_s_figure_is_compared_with_the_own_passage_in_the_first_five(model, folder):
    from dataclasses import replace

    report = evaluate_advbench(model, AdvBench.from_folder(folder))
    assert all(line.paper is None for line in report.comparison().lines)
    published = replace(report, model="McGill-NLP/LLM2Vec-Gen-Qwen3-8B").comparison()
    beside = {line.name: (line.paper, line.teacher) for line in published.lines if line.paper}
    assert beside == {"own passage in top 5": (45.0, 54.2)}
    assert "124 passages, 4 of them harmful" in published.as_text()


def test_a_folder_without_its_files_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*harmful\.jsonl"):
        AdvBench.from_folder(tmp_path)
