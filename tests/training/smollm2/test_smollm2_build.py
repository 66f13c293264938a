"""The pipeline of `smollm2` at miniature size: the almanac's LLM, three questions, one article."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.prompts import Prompts
from llm2vec_gen_rag.teachers.stored_vectors import read_teacher_vectors
from llm2vec_gen_rag.training.fit.reconstruction_head import HeadRecipe
from llm2vec_gen_rag.training.run_folder import read_answered_queries
from llm2vec_gen_rag.training.smollm2.build import HEAD_LOG, BuildRecipe, build, rounds
from llm2vec_gen_rag.training.smollm2.rows import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTION
from tests.training.smollm2.source_files import write_sources

pytestmark = pytest.mark.slow
BASE = str(almanac.MODEL_FOLDER / "base")
SMALL = {
    "warmup_steps": 2,
    "teacher": "tfidf-projection",
    "teacher_model": "",
    "teacher_dimension": 64,
    "alignment_weight": 64.0,
}
MINIATURE = BuildRecipe(
    rounds=[
        dataclasses.replace(
            each,
            amounts=dataclasses.replace(each.amounts, safety=safety),
            recipe=dataclasses.replace(each.recipe, logging_steps=2, **sizes, **SMALL),
        )
        for each, safety, sizes in zip(
            rounds(),
            (1_200, 100, 100),
            (
                {"steps": 30, "least_squares_rows": 300},
                {"steps": 4, "refit_rows": 100},
                {"steps": 4, "refit_rows": 100},
            ),
            strict=True,
        )
    ],
    head=HeadRecipe(steps=10, warmup_steps=2, answer_tokens=12),
    spoken=3,
)
ROUNDS = [each.name for each in MINIATURE.rounds]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2")
    build(folder / "run", write_sources(folder), BASE, MINIATURE)
    return folder / "run"


def test_embeddings_come_nearer_to_the_teacher(built):
    log = json.loads((built / "retrieval" / "model" / "training_log.json").read_text())["log"]
    assert log[-1]["alignment"] < log[0]["alignment"]
    assert {entry["reconstruction"] for entry in log} == {0.0}  # it is not computed


def test_an_embedding_is_nearer_to_its_own_teacher_vector_than_to_others(built):
    run = built / "retrieval"
    answered = read_answered_queries(run)
    vectors = read_teacher_vectors(run / "teacher_vectors.safetensors", answered.answers)
    model = LLM2VecGen.from_pretrained(run / "model", base_model=BASE)
    embeddings = model.encode(answered.questions[:200], instruction="")
    cosines = embeddings @ vectors[:200].astype(np.float32).T
    own, all_others = np.diag(cosines).mean(), cosines.mean()
    assert own > all_others + 0.1


def test_every_round_searches_with_the_instructions_of_its_rows(built):
    for name in ROUNDS:
        prompts = Prompts.from_folder(built / name / "model")
        assert prompts.for_query("retrieval") == QUERY_INSTRUCTION
        assert prompts.document == DOCUMENT_INSTRUCTION


def test_each_round_goes_on_from_the_one_before(built):
    models = [
        LLM2VecGen.from_pretrained(built / name / "model", base_model=BASE) for name in ROUNDS
    ]
    tokens = [model.response_tokens.detach().numpy() for model in models]
    for before, after in itertools.pairwise(tokens):
        assert not np.array_equal(before, after)
        np.testing.assert_allclose(before, after, atol=2e-2)


def test_the_last_round_has_the_llms_own_states_beside_the_teacher(built):
    dimensions = [
        LLM2VecGen.from_pretrained(built / name / "model", base_model=BASE).dimension
        for name in ROUNDS
    ]
    assert dimensions == [64, 64, 64 + 64]


def test_the_head_is_trained_and_no_embedding_moves(built):
    assert len(json.loads((built / HEAD_LOG).read_text())["losses"]) == MINIATURE.head.steps
    texts = ["how tall is a heron?", "The heron is a bird."]
    before = LLM2VecGen.from_pretrained(built / ROUNDS[-1] / "model", base_model=BASE)
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
    logs = [built / name / "model" / "training_log.json" for name in ROUNDS]
    before = [log.stat().st_mtime_ns for log in logs]
    (built / "sources").mkdir()
    build(built, write_sources(built / "sources"), BASE, MINIATURE)
    assert [log.stat().st_mtime_ns for log in logs] == before
