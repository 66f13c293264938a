"""Scores of documents -> nDCG@10 of each query, and the scores of BM25."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag.qdrant.points.words import words_of
from llm2vec_gen_rag.teachers.protocol import unit

Scores = npt.NDArray[np.float64]  # (queries, documents), or (queries,) where it is nDCG
Vectors = npt.NDArray[np.float32]

DEPTH = 10
# of BM25: what Anserini takes for BEIR
K1, B = 0.9, 0.4


def ndcg_of_queries(scores: Scores, asked: RetrievalSet) -> Scores:
    """Return the nDCG@10 of each query, (queries,), with a gain of 2^relevance - 1.

    Args:
        scores: (queries, documents); of equal ones, the earlier document is ranked first.
        asked: the set.
    """
    found = np.zeros(len(scores))
    for row, (scored, relevant) in enumerate(zip(scores, asked.relevant, strict=True)):
        top = np.argsort(-scored, kind="stable")[:DEPTH]
        gains = [relevant.get(asked.document_ids[place], 0) for place in top]
        best = sorted(relevant.values(), reverse=True)[:DEPTH]
        found[row] = _discounted(gains) / _discounted(best)
    return found


def cosines(queries: Vectors, documents: Vectors) -> Scores:
    """Return the cosine of each query to each document; 0 where a vector is zero."""
    return np.asarray(unit(queries) @ unit(documents).T, dtype=np.float64)


def bm25_scores(queries: Sequence[str], documents: Sequence[str]) -> Scores:
    """Return the BM25 score of each document for each query, (queries, documents).

    Words are those of `hybrid_search`, each word of a query counted once; 0 is a document without
    any of them.
    """
    counts = [Counter(words_of(text)) for text in documents]
    lengths = np.array([count.total() for count in counts], dtype=np.float64)
    norms = K1 * (1 - B + B * lengths / max(lengths.mean(), 1))
    postings: dict[str, list[tuple[int, int]]] = {}
    for row, count in enumerate(counts):
        for word, times in count.items():
            postings.setdefault(word, []).append((row, times))
    scores = np.zeros((len(queries), len(documents)))
    for number, query in enumerate(queries):
        for word in set(words_of(query)) & postings.keys():
            rows, times = np.array(postings[word]).T
            idf = math.log(1 + (len(documents) - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[number, rows] += idf * times * (K1 + 1) / (times + norms[rows])
    return scores


def _discounted(gains: Sequence[int]) -> float:
    return float(sum((2**gain - 1) / math.log2(place + 2) for place, gain in enumerate(gains)))
