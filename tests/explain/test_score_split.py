"""The shares of the response tokens add up to the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.explain import explain
from llm2vec_gen_rag.explain.split import split_score
from llm2vec_gen_rag.explain.states import response_states

QUERY = "where do polar bears live"
DOCUMENTS = ["Polar bears live on the sea ice.", "The yen is the money of Japan. " * 30, ""]


@pytest.mark.parametrize("document", DOCUMENTS, ids=["short", "cut", "empty"])
def test_the_shares_add_up_to_the_cosine_of_the_two_vectors(each_model, document):
    explanation = explain(each_model, QUERY, document, max_new_tokens=1)
    cosine = float(each_model.encode_query(QUERY) @ each_model.encode_document(document))
    split = explanation.split
    tokens = each_model.compression_tokens
    assert (len(split.cells), {len(row) for row in split.cells}) == (tokens, {tokens})
    for shares in (split.by_query_token, split.by_document_token):
        assert len(shares) == tokens
        assert sum(shares) == pytest.approx(cosine, abs=1e-5)
    assert sum(map(sum, split.cells)) == pytest.approx(cosine, abs=1e-5)
    assert explanation.cosine == pytest.approx(cosine, abs=1e-5)


def test_a_share_is_the_product_of_a_tokens_vector_and_the_documents_unit_vector(model):
    states = response_states(model, QUERY, instruction="")
    with torch.no_grad():
        vectors = model.alignment(model.reconstruction(states.float())).numpy()
    document = model.encode(DOCUMENTS[0])
    expected = vectors @ document / (len(vectors) * np.linalg.norm(vectors.mean(axis=0)))
    split = split_score(model, states, response_states(model, DOCUMENTS[0], instruction=""))
    np.testing.assert_allclose(split.by_query_token, expected, atol=1e-6)


def test_in_bfloat16_the_shares_add_up_too(load_kit):
    model = load_kit("qwen3-10", dtype="bfloat16")
    explanation = explain(model, QUERY, DOCUMENTS[0], max_new_tokens=1)
    cosine = float(model.encode_query(QUERY) @ model.encode_document(DOCUMENTS[0]))
    assert sum(explanation.split.by_query_token) == pytest.approx(cosine, abs=1e-5)


def test_vectors_of_zeros_have_the_cosine_zero(fresh_model):
    for parameter in fresh_model.alignment.parameters():
        parameter.data.zero_()
    explanation = explain(fresh_model, QUERY, DOCUMENTS[0], max_new_tokens=1)
    assert explanation.cosine == 0
    assert set(explanation.split.by_query_token) == {0}
