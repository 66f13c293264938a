"""The metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llm2vec_gen_rag.evaluation.metrics import ndcg, ranks, success

DOCUMENTS = np.eye(4, dtype=np.float32)


def test_ranks_count_the_documents_before_the_right_one():
    queries = np.array([[4, 3, 2, 1], [4, 3, 2, 1]], dtype=np.float32)
    np.testing.assert_array_equal(ranks(queries, DOCUMENTS, np.array([0, 2])), [1, 3])


def test_a_tie_is_no_success():
    queries = np.zeros((1, 4), dtype=np.float32)
    np.testing.assert_array_equal(ranks(queries, DOCUMENTS, np.array([1])), [4])


def test_ranks_of_many_queries_are_those_of_each():
    rng = np.random.default_rng(0)
    queries, documents = rng.standard_normal((600, 8)), rng.standard_normal((50, 8))
    right = rng.integers(0, 50, 600)
    expected = [
        1 + sum(query @ document > query @ documents[own] for document in documents)
        for query, own in zip(queries, right, strict=True)
    ]
    found = ranks(queries.astype(np.float32), documents.astype(np.float32), right)
    np.testing.assert_array_equal(found, expected)


def test_ndcg_and_success():
    rank = np.array([1, 3, 10, 11])
    assert ndcg(rank) == pytest.approx((1 + 0.5 + 1 / np.log2(11) + 0) / 4)
    assert success(rank, 1) == 0.25
    assert success(rank, 10) == 0.75
