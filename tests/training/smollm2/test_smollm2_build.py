"""The pipeline of `smollm2` at miniature size: the almanac's LLM, three questions, one article."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.training.config import load_recipe
from llm2vec_gen_rag.training.fit.reconstruction_head import HeadRecipe
from llm2vec_gen_rag.training.smollm2.build import HEAD_LOG, BuildRecipe, build
from llm2vec_gen_rag.training.smollm2.rows import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTION
from tests.training.smollm2.source_files import write_sources

pytestmark = pytest.mark.slow
BASE = str(almanac.MODEL_FOLDER / "base")
MINIATURE = BuildRecipe(
    retrieval=dataclasses.replace(
        load_recipe("smollm2"),
        steps=30,
        warmup_steps=5,
        logging_steps=10,
        least_squares_rows=300,
        teacher="tfidf-projection",
        teacher_model="",
        teacher_dimension=64,
        alignment_weight=64.0,
    ),
    head=HeadRecipe(steps=10, warmup_steps=2, answer_tokens=12),
    spoken=3,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2")
    build(folder / "run", write_sources(folder), BASE, MINIATURE)
    return folder / "run"


def test_embeddings_come_nearer_to_the_teacher(built):
    log = json.loads((built / "retrieval" / "model" / "training_log.json").read_text())["log"]
    assert log[-1]["alignment"] < log[0]["alignment"]
    assert {entry["reconstruction"] for entry in log} == {0.0}  # it is not computed


def test_the_head_is_trained_and_no_embedding_moves(built):
    assert len(json.loads((built / HEAD_LOG).read_text())["losses"]) == MINIATURE.head.steps
    texts = ["how tall is a heron?", "The heron is a bird."]
    before = LLM2VecGen.from_pretrained(built / "retrieval" / "model", base_model=BASE)
    after = LLM2VecGen.from_pretrained(built / "bundled", base_model=BASE)
    # the low-rank updates are stored in bfloat16
    np.testing.assert_allclose(after.encode(texts), before.encode(texts), atol=2e-2)
    heads = [
        torch.allclose(a, b)
        for a, b in zip(
            after.reconstruction.parameters(), before.reconstruction.parameters(), strict=True
        )
    ]
    assert not any(heads)


def test_what_is_bundled_has_its_own_instructions(built):
    model = LLM2VecGen.from_pretrained(built / "bundled", base_model=BASE)
    assert model.prompts.for_query("retrieval") == QUERY_INSTRUCTION
    assert model.prompts.document == DOCUMENT_INSTRUCTION


def test_a_finished_build_is_not_trained_again(built):
    run = built / "retrieval" / "model" / "training_log.json"
    before = run.stat().st_mtime_ns
    build(built, write_sources_again(built), BASE, MINIATURE)
    assert run.stat().st_mtime_ns == before


def write_sources_again(built):
    folder = built / "sources"
    folder.mkdir()
    return write_sources(folder)
