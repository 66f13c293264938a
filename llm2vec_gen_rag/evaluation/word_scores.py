"""The BM25 of documents as Qdrant computes it, without a collection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.qdrant.points.bm25 import document_vector, query_vector, share_of_words

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WordScores:
    """What hybrid search knows of the words of queries and documents.

    Attributes:
        bm25: (queries, documents).
        shares: (queries,), the share of a query's words that its best document by BM25 has.
    """

    bm25: Scores
    shares: Scores


def word_scores(queries: Sequence[str], documents: Sequence[str]) -> WordScores:
    """Return the BM25 of each document for each query, and how much of a query the best one has."""
    scores = bm25_of_qdrant(queries, documents)
    return WordScores(scores, shares_of_words(queries, documents, scores))


def bm25_of_qdrant(queries: Sequence[str], documents: Sequence[str]) -> Scores:
    """Return the BM25 of each document for each query, (queries, documents), as Qdrant has it."""
    postings: dict[int, list[tuple[int, float]]] = {}
    worded = 0  # documents without words do not count for a word's rarity
    for row, text in enumerate(documents):
        words = document_vector(text)
        worded += bool(words.indices)
        for term, value in zip(words.indices, words.values, strict=True):
            postings.setdefault(term, []).append((row, value))
    arrays = {term: np.array(found).T for term, found in postings.items()}
    scores = np.zeros((len(queries), len(documents)))
    for number, query in enumerate(queries):
        for term in arrays.keys() & set(query_vector(query).indices):
            rows, values = arrays[term]
            idf = math.log(1 + (worded - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[number, rows.astype(np.int64)] += idf * values
    return scores


def shares_of_words(queries: Sequence[str], documents: Sequence[str], scores: Scores) -> Scores:
    """Return the share of each query's words that its best document has, (queries,).

    Args:
        queries: the texts.
        documents: the texts.
        scores: (queries, documents), by which the best document is chosen.

    Returns:
        Numbers in [0, 1]; 0 for a query without words.
    """
    best = (document_vector(documents[place]) for place in scores.argmax(axis=1))
    words = map(query_vector, queries)
    return np.array([share_of_words(*pair) for pair in zip(words, best, strict=True)])
