"""Per-call instructions, how long texts were, and similarities."""

from __future__ import annotations

import logging

import numpy as np
import pytest

TEXTS = ["a" + " b" * n for n in (3, 600, 20, 700)]


def cut(caplog):
    return [record.message for record in caplog.records if "are cut at their end" in record.message]


def test_texts_that_do_not_fit_are_reported_with_their_lengths(each_model):
    encoded = each_model.encode_with_lengths(TEXTS, instruction="Say: ", max_length=64)
    np.testing.assert_array_equal(
        encoded.vectors, each_model.encode(TEXTS, instruction="Say: ", max_length=64)
    )
    whole = each_model.text_tokenizer.token_ids([f"Say: {text}" for text in TEXTS])
    assert encoded.tokens.tolist() == [len(ids) for ids in whole]
    assert encoded.room == 64 - len(each_model.response_tokens)
    assert encoded.truncated == [1, 3]


def test_a_text_that_just_fits_is_not_cut(model):
    whole = model.encode_with_lengths(TEXTS[2], max_length=512)
    fits = int(whole.tokens[0]) + len(model.response_tokens)
    assert model.encode_with_lengths(TEXTS[2], max_length=fits).truncated == []
    assert model.encode_with_lengths(TEXTS[2], max_length=fits - 1).truncated == [0]
    assert whole.vectors.shape == (1, model.dimension)
    assert model.encode_with_lengths([]).tokens.shape == (0,)


def test_the_log_says_once_a_call_which_texts_are_cut(model, caplog):
    model.encode(TEXTS, max_length=64, batch_size=1)
    (message,) = cut(caplog)
    assert "2 of 4 texts are longer than the 54 tokens" in message
    assert "texts[1, 3]" in message
    caplog.clear()
    model.encode(TEXTS[1:2] * 9, max_length=64)
    assert "texts[0, 1, 2, 3, 4, ...]" in cut(caplog)[0]
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        model.encode([TEXTS[0], TEXTS[2]])
    assert cut(caplog) == []


def test_an_instruction_may_be_given_with_the_call(model):
    for instruction in ("Ask: ", ""):
        expected = model.encode("x", instruction=instruction)
        np.testing.assert_array_equal(model.encode_query("x", instruction=instruction), expected)
        np.testing.assert_array_equal(model.encode_document("x", instruction=instruction), expected)


def test_similarity_is_the_cosine_of_every_pair(model):
    queries, documents = ["one", "two"], ["the first", "the second", "the third"]
    found = model.similarity(queries, documents)
    expected = model.encode_query(queries) @ model.encode_document(documents).T
    assert found.shape == (2, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.similarity("one", documents).shape == (1, 3)
    assert model.similarity([], documents).shape == (0, 3)


def test_similarity_takes_vectors_of_any_length(model):
    queries = model.encode_query(["one", "two"], normalize=False)
    documents = 3 * model.encode_document(["the first", "the second"])
    found = model.similarity(queries, documents)
    np.testing.assert_allclose(
        found, model.similarity(["one", "two"], ["the first", "the second"]), atol=1e-6
    )
    np.testing.assert_allclose(model.similarity(queries[0], documents), found[:1], atol=1e-6)
    assert model.similarity(np.zeros_like(queries), documents).tolist() == [[0, 0], [0, 0]]


def test_similarity_refuses_vectors_of_another_model(model):
    with pytest.raises(ValueError, match=r"have 3 dimensions and the documents' .*; expected"):
        model.similarity(np.ones((1, 3), dtype=np.float32), ["x"])
