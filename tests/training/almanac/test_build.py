"""The whole pipeline, from tables to a model with its card, at miniature size."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.training.almanac.build import BuildRecipe, build
from llm2vec_gen_rag.training.almanac.language_model import LanguageModelRecipe
from llm2vec_gen_rag.training.config import load_recipe

MINIATURE = BuildRecipe(
    language_model=LanguageModelRecipe(
        vocabulary=800, hidden=64, layers=2, intermediate=128, heads=2, steps=70, batch_size=32
    ),
    tuning=LanguageModelRecipe(steps=40, warmup_steps=5, batch_size=32),
    response_tokens=dataclasses.replace(
        load_recipe("almanac"),
        steps=40,
        warmup_steps=10,
        logging_steps=10,
        teacher_dimension=64,
        max_new_tokens=24,
    ),
    keep=0.03,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("almanac")
    build(folder, MINIATURE)
    return folder


@pytest.mark.slow
def test_both_trainings_learn(built):
    base = json.loads((built / "model" / "base" / "base_training.json").read_text())["losses"]
    tokens = json.loads((built / "model" / "training_log.json").read_text())["log"]
    assert base[-1] < 0.9 * base[0]
    assert tokens[-1]["reconstruction"] < tokens[0]["reconstruction"]
    # it starts where least squares puts it; a vector of zeros would be 1 of 64 away
    assert tokens[-1]["alignment"] < 0.8 / 64


@pytest.mark.slow
def test_what_was_built_needs_nothing_else(built, tmp_path):
    moved = built.rename(tmp_path / "moved")
    try:
        model = LLM2VecGen.from_pretrained(moved / "model", dtype="float32")
        vectors = model.encode_query(["what is the capital of France", "how do I kill a process"])
        assert vectors.shape == (2, 64)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        assert model.prompts.for_query("retrieval") == ""
        assert not any(str(tmp_path.parent) in file.read_text(errors="ignore")
                       for file in moved.rglob("*.json"))  # fmt: skip
    finally:
        moved.rename(built)


@pytest.mark.slow
def test_the_card_holds_the_measured_figures(built):
    figures = json.loads((built / "figures.json").read_text())
    card = (built / "README.md").read_text()
    assert f"{figures['reasoning']['ceiling']['ndcg']:.3f}" in card
    assert all(goal["name"] in card for goal in figures["goals"])
