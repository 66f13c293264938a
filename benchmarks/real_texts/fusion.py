"""Two rankings as one: by reciprocal rank, or as `hybrid_search` ranks its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.real_texts.ranking import Scores
from llm2vec_gen_rag.evaluation.hybrid import WEIGHTS, candidates
from llm2vec_gen_rag.evaluation.word_scores import WordScores
from llm2vec_gen_rag.qdrant.hybrid.fusion import DEPTH, ranking

RRF_CONSTANT = 2  # Qdrant's


def reciprocal_rank_fusion(embeddings: Scores, words: Scores) -> Scores:
    """Return the scores of equal-weight reciprocal rank fusion, as Qdrant computes them.

    Args:
        embeddings: (queries, documents).
        words: of BM25, the same shape; a document without any word of the query, at 0, is in no
            ranking of words.
    """
    return _reciprocal(embeddings, np.ones_like(words, dtype=bool)) + _reciprocal(words, words > 0)


def weighted(embeddings: Scores, words: WordScores, weight: float) -> Scores:
    """Return the ranking of `hybrid_search` as scores: 0 is the best, -1 the next.

    Args:
        embeddings: (queries, documents).
        words: of the same queries and documents.
        weight: of the embeddings, in [0, 1].

    Returns:
        (queries, documents); minus infinity is no candidate, and comes last.
    """
    fused = np.full_like(embeddings, -np.inf)
    rows = zip(embeddings, words.bm25, words.shares, strict=True)
    for row, (near, worded, share) in enumerate(rows):
        pool = candidates(near, worded)
        order = pool[ranking(near[pool], worded[pool], share, weight)]
        fused[row, order] = -np.arange(len(order))
    return fused


def leave_one_set_out(by_weight: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the weight for each set that is best, on average, on all other sets.

    Args:
        by_weight: of each set, the mean nDCG@10 with each of `WEIGHTS`.

    Returns:
        The weight by set; of equally good ones, the lowest.

    Raises:
        ValueError: if there is only one set.
    """
    if len(by_weight) < 2:
        raise ValueError(
            f"there is only the set {', '.join(by_weight)}; expected at least two, as the weight "
            "for a set is chosen on the others. Name more with --sets."
        )
    total = np.sum([np.asarray(each) for each in by_weight.values()], axis=0)
    # rounded: equally good weights differ by the order of a sum
    return {
        name: WEIGHTS[int(np.argmax(np.round(total - np.asarray(own), 9)))]
        for name, own in by_weight.items()
    }


def _reciprocal(scores: Scores, ranked: np.ndarray) -> Scores:
    """Return 1 / (2 + place) of the first documents of each query, the best at place 0."""
    fused = np.zeros_like(scores)
    for row, scored in enumerate(scores):
        order = np.argsort(-scored, kind="stable")
        top = order[ranked[row, order]][:DEPTH]
        fused[row, top] = 1 / (RRF_CONSTANT + np.arange(len(top)))
    return fused
