"""The frozen LLM's whitened states as a teacher, alone and beside another one."""

from __future__ import annotations

import numpy as np
import pytest

from llm2vec_gen_rag.teachers.joined import JoinedTeacher
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.teachers.whitened_states import (
    WHITENING_FILE,
    WhitenedStatesTeacher,
    Whitening,
    unwhitened_states,
)

TEXTS = ["polar bears", "where do polar bears live", "in the winter", "the yen is money", "why not"]


@pytest.fixture
def states():
    """States with one long direction in common, as an LLM's are."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(50, 8)) * np.logspace(0, 2, 8) + 300).astype(np.float32)


@pytest.fixture
def teacher(fresh_model):
    llm = fresh_model.backbone, fresh_model.tokenizer
    whitening = Whitening.fit(unwhitened_states(*llm, TEXTS), 3)
    return WhitenedStatesTeacher(*llm, whitening, name="whitened")


def test_whitened_states_vary_alike_in_every_direction(states):
    whitening = Whitening.fit(states, 6)
    found = (states - whitening.mean) @ whitening.directions
    np.testing.assert_allclose(found.T @ found / len(states), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(
        whitening(states), found / np.linalg.norm(found, axis=1)[:, None], atol=1e-5
    )


def test_the_directions_that_vary_most_are_kept(states):
    kept = Whitening.fit(states, 1).directions[:, 0]
    assert np.abs(kept).argmax() == 7


def test_fewer_directions_than_asked_for_are_an_error(states):
    with pytest.raises(ValueError, match=r"4 texts vary along 3 directions; expected .*, 8"):
        Whitening.fit(states[:4], 8)


def test_a_saved_whitening_is_the_same(states, tmp_path):
    whitening = Whitening.fit(states, 4)
    whitening.save(tmp_path)
    np.testing.assert_array_equal(Whitening.load(tmp_path)(states), whitening(states))
    (tmp_path / WHITENING_FILE).write_bytes(b"cut")
    with pytest.raises(ValueError, match="cannot be read"):
        Whitening.load(tmp_path)


def test_a_text_has_the_same_vector_in_every_batch(teacher):
    together = teacher.embed(TEXTS)
    alone = np.concatenate([teacher.embed([text]) for text in TEXTS])
    assert together.shape == (5, teacher.dimension) == (5, 3)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert not teacher.embed([""]).any()


def test_the_first_token_is_read_and_not_averaged(fresh_model):
    llm = fresh_model.backbone, fresh_model.tokenizer
    ids = fresh_model.tokenizer("why not now", return_tensors="pt")["input_ids"]
    states = fresh_model.backbone(ids, output_hidden_states=True).hidden_states[-1][0]
    expected = states[1:].mean(dim=0).detach()
    np.testing.assert_allclose(unwhitened_states(*llm, ["why not now"])[0], expected, atol=1e-5)
    one = fresh_model.tokenizer("w", return_tensors="pt")["input_ids"]
    assert one.shape == (1, 1)
    only = fresh_model.backbone(one, output_hidden_states=True).hidden_states[-1][0, 0]
    np.testing.assert_allclose(unwhitened_states(*llm, ["w"])[0], only.detach(), atol=1e-5)


def test_the_fingerprint_is_that_of_weights_and_whitening(teacher, fresh_model):
    llm = fresh_model.backbone, fresh_model.tokenizer
    other = Whitening.fit(unwhitened_states(*llm, TEXTS[:4]), 3)
    assert WhitenedStatesTeacher(*llm, other, name="whitened").fingerprint != teacher.fingerprint


def test_joined_teachers_add_their_cosines(teacher):
    words = TfidfTeacher.fit("projection", TEXTS, dimension=8)
    joined = JoinedTeacher(words, teacher, 0.5)
    vectors, first, second = (each.embed(TEXTS) for each in (joined, words, teacher))
    assert vectors.shape == (5, joined.dimension) == (5, 11)
    np.testing.assert_allclose(
        vectors @ vectors.T, (first @ first.T + 0.5 * second @ second.T) / 1.5, atol=1e-5
    )
    assert joined.name == "tfidf-projection-8 beside 0.5 x whitened"
    assert joined.fingerprint != JoinedTeacher(words, teacher, 0.6).fingerprint
