"""The teach stage: from answers and a recipe to stored vectors, whoever the teacher is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from llm2vec_layout import write_llm2vec
from reference_kits import ReferenceKit
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import BaseModelError, StorageError, TeacherError
from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.teachers.stored_vectors import read_teacher_vectors
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.pipeline import RESPONSES_FILE, VECTORS_FILE, teach, train
from llm2vec_gen_rag.training.recipe_teacher import read_vectors
from llm2vec_gen_rag.training.responses.file import append_responses, open_responses
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.run_folder import read_answered_queries

QUERIES = ["what do bears eat?", "where do they live?", "why?"]  # in the order of the stages
ANSWERS = ["fish and honey, mostly", "in woods near rivers", ""]


def write_answers(folder, answers):
    """Write responses to the folder, replacing those that are there."""
    path = folder / RESPONSES_FILE
    path.unlink(missing_ok=True)
    open_responses(path, {"model": "mine", "instruction": ""})
    pairs = zip(QUERIES, answers, strict=True)
    append_responses(path, [Response(query, answer, True) for query, answer in pairs])


@pytest.fixture
def run(fresh_model, tmp_path):
    """Teach with a recipe; the vectors that come of it."""

    def teach_with(answers=ANSWERS, **choices):
        write_answers(tmp_path, answers)
        teach(
            Recipe(**choices),
            tmp_path,
            backbone=fresh_model.backbone,
            tokenizer=fresh_model.tokenizer,
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


def test_the_frozen_llm_teaches_itself(run, fresh_model):
    expected = BackboneMeanTeacher(fresh_model.backbone, fresh_model.tokenizer, name="").embed(
        ANSWERS
    )
    vectors = run(teacher="backbone-mean", teacher_dtype="float32")
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_the_frozen_llm_teaches_itself_whitened(run, tmp_path):
    choices = {"teacher": "backbone-whitened", "teacher_dimension": 1, "teacher_dtype": "float32"}
    vectors = run(**choices)
    np.testing.assert_allclose(np.abs(vectors), [[1], [1], [0]], atol=1e-5)
    kept = tmp_path / "teacher" / "whitening.safetensors"
    first = kept.stat().st_mtime_ns
    (tmp_path / VECTORS_FILE).unlink()
    np.testing.assert_array_equal(run(**choices), vectors)
    assert kept.stat().st_mtime_ns == first
    with pytest.raises(ValueError, match=r"vary along 1 directions; expected .* 2"):
        run(**choices | {"teacher_dimension": 2})


def test_the_frozen_llm_stands_beside_a_teacher(run, fresh_model, tmp_path):
    choices = {"teacher": "tfidf-projection", "teacher_dimension": 1}
    vectors = run(**choices, own_states_weight=0.25, teacher_dtype="float32")
    assert vectors.shape == (3, 2)
    np.testing.assert_allclose((vectors[:2] ** 2)[:, 1], 0.2, atol=1e-5)
    answered = read_answered_queries(tmp_path, QUERIES)
    for other in (0.0, 0.5):
        with pytest.raises(ValueError, match="holds the vectors of 'tfidf-projection-1 beside"):
            read_vectors(tmp_path, answered, Recipe(**choices, own_states_weight=other))
    (tmp_path / VECTORS_FILE).unlink()
    with pytest.raises(ValueError, match="'own_states_weight' reads the frozen LLM itself"):
        teach(Recipe(**choices, own_states_weight=0.25), tmp_path)


def test_an_llm2vec_encoder_teaches(run, tmp_path):
    name = write_llm2vec(tmp_path / "encoder")
    vectors = run(teacher="llm2vec", teacher_model=name)
    expected = LLM2VecTeacher.load(name, device="cpu").embed(ANSWERS)
    np.testing.assert_allclose(vectors, expected, atol=1e-2)


def test_the_llm_under_an_encoder_may_be_elsewhere_than_its_adapter_says(run, tmp_path):
    name = write_llm2vec(tmp_path / "encoder")
    encoder = {"teacher": "llm2vec", "teacher_model": name}
    expected = run(**encoder)
    config = Path(name.removesuffix("-unsup-simcse"), "adapter_config.json")
    stated = json.loads(config.read_text())
    config.write_text(json.dumps(stated | {"base_model_name_or_path": "somewhere/else"}))
    with pytest.raises(BaseModelError, match=r"'somewhere/else'.* teacher_base_model in a recipe"):
        run(**encoder)
    (tmp_path / VECTORS_FILE).unlink()
    base = str(ReferenceKit("qwen3-10").base)
    np.testing.assert_array_equal(run(**encoder, teacher_base_model=base), expected)


def test_a_teacher_that_was_fitted_on_these_texts_is_not_fitted_again(run, tmp_path):
    """Under another number of threads it would differ in its last bits, and with it all vectors."""
    choices = {"teacher": "tfidf-svd", "teacher_dimension": 4}

    def fitted(**changes):
        run(**(choices | changes))
        return (tmp_path / "teacher" / "teacher.safetensors").stat().st_mtime_ns

    first = fitted()
    (tmp_path / VECTORS_FILE).unlink()
    assert fitted() == first
    assert len({first, fitted(seed=7), fitted(answers=["a b", "c d", "e f g"])}) == 3


def test_a_teacher_that_cannot_be_kept_is_reported(run, tmp_path):
    (tmp_path / "teacher").touch()
    with pytest.raises(StorageError, match=r"the teacher in .*teacher cannot be written"):
        run(teacher="tfidf-projection", teacher_dimension=4)


def test_a_sentence_transformers_model_teaches(run, tmp_path):
    name = str(tmp_path / "encoder")
    SentenceTransformer(str(ReferenceKit("qwen3-10").base), device="cpu").save(name)
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


def test_the_heads_of_the_model_have_the_dimension_of_the_teacher(fresh_model, tmp_path):
    recipe = Recipe(
        teacher="tfidf-projection", teacher_dimension=5, response_tokens=2, compression_tokens=2,
        steps=2, warmup_steps=0, batch_size=2, max_length=32, max_new_tokens=4,
    )  # fmt: skip
    queries = [f"{query} {number}" for query in QUERIES for number in range(3)]
    base = str(ReferenceKit("qwen3-10").base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    result = train(fresh_model.backbone, tokenizer, queries, recipe, tmp_path)
    taught = LLM2VecGen.from_pretrained(str(result.folder), base_model=base, device="cpu")
    assert taught.dimension == 5
    assert np.isfinite([result.reconstruction, result.alignment]).all()
