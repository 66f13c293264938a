"""The teach stage: from answers and a recipe to stored vectors, whoever the teacher is."""

from __future__ import annotations

import numpy as np
import pytest
from llm2vec_layout import REFERENCE, write_llm2vec
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import TeacherError
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.pipeline import RESPONSES_FILE, VECTORS_FILE, teach, train
from llm2vec_gen_rag.training.response_file import Response, append_responses, open_responses
from llm2vec_gen_rag.training.teachers import (
    BackboneMeanTeacher,
    LLM2VecTeacher,
    SentenceTransformersTeacher,
    TfidfTeacher,
    read_teacher_vectors,
)

QUERIES = ["what do bears eat?", "where do they live?", "why?"]  # in the order of the stages
ANSWERS = ["fish and honey, mostly", "in woods near rivers", ""]


def write_answers(folder, answers):
    """Put the responses of another stage into the folder, in place of those that are there."""
    path = folder / RESPONSES_FILE
    path.unlink(missing_ok=True)
    open_responses(path, {"model": "mine", "instruction": ""})
    pairs = zip(QUERIES, answers, strict=True)
    append_responses(path, [Response(query, answer, True) for query, answer in pairs])


@pytest.fixture
def run(model, tmp_path):
    """Teach with a recipe; the vectors that come of it."""

    def teach_with(answers=ANSWERS, **choices):
        write_answers(tmp_path, answers)
        teach(
            Recipe(**choices),
            tmp_path,
            backbone=model.backbone,
            tokenizer=model.tokenizer,
            device="cpu",
        )
        return read_teacher_vectors(tmp_path / VECTORS_FILE, answers)

    return teach_with


@pytest.mark.parametrize("teacher", ["tfidf-projection", "tfidf-svd"])
def test_a_tfidf_teacher_is_fitted_and_kept(run, tmp_path, teacher):
    vectors = run(teacher=teacher, teacher_dimension=4)
    saved = TfidfTeacher.load(tmp_path / "teacher")
    assert saved.name == f"{teacher}-4"
    np.testing.assert_allclose(vectors, saved.embed(ANSWERS), atol=1e-3)
    assert saved.embed(["what"]).any()  # a word of the queries alone


def test_the_frozen_llm_teaches_itself(run, model):
    expected = BackboneMeanTeacher(model.backbone, model.tokenizer, name="").embed(ANSWERS)
    vectors = run(teacher="backbone-mean", teacher_dtype="float32")
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_an_llm2vec_encoder_teaches(run, tmp_path):
    name = write_llm2vec(tmp_path / "encoder")
    vectors = run(teacher="llm2vec", teacher_model=name)
    expected = LLM2VecTeacher.load(name, device="cpu").embed(ANSWERS)
    np.testing.assert_allclose(vectors, expected, atol=1e-2)


def test_a_sentence_transformers_model_teaches(run, tmp_path):
    name = str(tmp_path / "encoder")
    SentenceTransformer(str(REFERENCE / "qwen3-10" / "base"), device="cpu").save(name)
    vectors = run(teacher="sentence-transformers", teacher_model=name)
    expected = SentenceTransformersTeacher(name, device="cpu").embed(ANSWERS)
    np.testing.assert_allclose(vectors, expected, atol=1e-2)


def test_a_teacher_that_cannot_be_loaded_leaves_no_file(run, tmp_path):
    with pytest.raises(TeacherError, match="neither a folder here"):
        run(teacher="llm2vec", teacher_model=str(tmp_path / "absent-mntp-unsup-simcse"))
    assert not (tmp_path / VECTORS_FILE).exists()


def test_what_is_taught_is_kept_until_the_recipe_or_the_answers_change(run, tmp_path):
    def written(**choices):
        run(**choices)
        return (tmp_path / VECTORS_FILE).stat().st_mtime_ns

    choices = {"teacher": "tfidf-projection", "teacher_dimension": 4}
    first = written(**choices)
    assert written(**choices) == first
    times = [first]
    for change in ({"seed": 7}, {"teacher_dimension": 5}, {"answers": ["a", "b", "c"]}):
        times.append(written(**(choices | change)))
    assert len(set(times)) == len(times)


def test_the_heads_of_the_model_have_the_dimension_of_the_teacher(model, tmp_path):
    recipe = Recipe(
        teacher="tfidf-projection", teacher_dimension=5, response_tokens=2, compression_tokens=2,
        steps=2, warmup_steps=0, batch_size=2, max_length=32, max_new_tokens=4,
    )  # fmt: skip
    queries = [f"{query} {number}" for query in QUERIES for number in range(3)]
    base = str(REFERENCE / "qwen3-10" / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    result = train(model.backbone, tokenizer, queries, recipe, tmp_path)
    taught = LLM2VecGen.from_pretrained(str(result.folder), base_model=base, device="cpu")
    assert taught.dimension == 5
    assert np.isfinite([result.reconstruction, result.alignment]).all()
