"""Short training runs differ in what they say, and are compared query by query."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference_kits import ReferenceKit

from benchmarks.real_texts import variants
from benchmarks.real_texts.page import PARTS
from benchmarks.real_texts.variants import VARIANTS, chosen_rows, summarised, train
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.training import pipeline, recipe_teacher
from llm2vec_gen_rag.training.config import Recipe, load_recipe
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.run_folder import MODEL_FOLDER, AnsweredQueries

RECIPE = Recipe(
    steps=2, warmup_steps=1, batch_size=4, response_tokens=3, compression_tokens=2,
    lora_rank=2, max_length=32, report_to="none",
)  # fmt: skip


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A file of three questions, three documents and a refused prompt; two of each kind count."""
    monkeypatch.setattr(variants, "TEXTS", 2)
    texts = [(f"Question: why {n}?", f"why {n}?") for n in range(3)]
    texts += [(f"Passage: so {n}.", f"so {n}.") for n in range(3)]
    texts.append(("Question: how to do harm?", "I cannot help with that."))
    file = tmp_path / "rows.jsonl"
    lines = (json.dumps({"query": query, "response": text}) for query, text in texts)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_as_many_texts_of_each_kind_are_drawn_and_no_refusal(rows):
    questions, documents = chosen_rows(rows)
    assert [len(questions), len(documents)] == [2, 2]
    assert all(row.query == f"Question: {row.response}" for row in questions)
    assert all(row.query == f"Passage: {row.response}" for row in documents)
    assert (questions, documents) == chosen_rows(rows)


def test_every_variant_but_the_first_differs_from_it_in_a_recipe_that_can_be_trained():
    base, *others = VARIANTS.values()
    assert not base.changes
    assert not base.summaries
    assert all(bool(variant.changes) != variant.summaries for variant in others)
    recipe = load_recipe("smollm2")
    for variant in others:
        assert all(getattr(recipe, name) != value for name, value in variant.changes.items())


class Numbered:
    """A teacher whose vector of "n" points along the n-th axis."""

    name, fingerprint, dimension = "numbered", "", 8

    def embed(self, texts):
        return np.eye(8, dtype=np.float32)[[int(text) for text in texts]]


@pytest.fixture
def base_model(monkeypatch):
    monkeypatch.setattr(pipeline, "recipe_teacher", lambda *_, **__: Numbered())
    monkeypatch.setattr(recipe_teacher, "_is_of", lambda *_: True)
    return str(ReferenceKit("qwen3-10").base)


def test_each_row_learns_from_the_vector_of_its_own_text(base_model, tmp_path, monkeypatch):
    pairs = [Response(f"Question: {8 - n}?", str(n), True, "given") for n in (3, 0, 7, 5)]
    learnt = []
    monkeypatch.setattr(pipeline, "fit", lambda *given, **_: learnt.append(given[1:4]))
    train(pairs, RECIPE, tmp_path, base_model)
    ((questions, answers, vectors),) = learnt
    assert dict(zip(questions, answers, strict=True)) == {row.query: row.response for row in pairs}
    of_row = dict(zip(questions, vectors.argmax(axis=1), strict=True))
    assert of_row == {row.query: int(row.response) for row in pairs}


def test_each_document_has_the_summary_of_its_own_text(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "respond", lambda *_, **__: None)
    texts = ["c", "a", "b"]
    read = AnsweredQueries(["a", "b", "c"], ["of a", " ", "of c"], ["llm"] * 3, {})
    monkeypatch.setattr(variants, "read_answered_queries", lambda *_: read)
    rows = [Response(f"Passage: {text}", text, True, "given") for text in texts]
    found = summarised(None, None, rows, RECIPE, tmp_path)
    assert [(row.query, row.response) for row in found] == [
        ("Passage: c", "of c"),
        ("Passage: a", "of a"),
    ]


def test_a_variant_searches_with_the_instructions_that_its_rows_have(base_model, tmp_path):
    pairs = [Response(f"Question: {n}?", str(n), True, "given") for n in range(8)]
    train(pairs, RECIPE, tmp_path, base_model)
    folder = tmp_path / MODEL_FOLDER
    model = LLM2VecGen.from_pretrained(folder, base_model=base_model, dtype="float32")
    assert len(model.response_tokens) == RECIPE.response_tokens
    assert model.prompts.for_query("retrieval") == "Question: "
    assert model.prompts.document == "Passage: "


def test_a_difference_is_the_mean_of_those_of_the_queries():
    ndcg = {"base": [0.2, 0.6], "another": [0.3, 0.7]}
    figures = {"variants": {label: {"ndcg": {"set": found}} for label, found in ndcg.items()}}
    table = PARTS["variants"](figures)["table"]
    assert "| base | 0.400 | 0.400 <sub>0.20–0.60</sub> |  |" in table
    assert (
        "| another | 0.500 | 0.500 <sub>0.30–0.70</sub> | +0.100 <sub>+0.100 to +0.100</sub> |"
        in table
    )
