"""Two rankings as one: by reciprocal rank, or by a weighted sum of standardised scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.real_texts.ranking import Scores

# those of `hybrid_search`: Qdrant's constant, and how far down each ranking is read
RRF_CONSTANT = 2
RRF_DEPTH = 50
WEIGHTS = tuple(round(step / 20, 2) for step in range(21))  # of the embeddings, in [0, 1]


def reciprocal_rank_fusion(embeddings: Scores, words: Scores) -> Scores:
    """Return the scores of equal-weight reciprocal rank fusion, as `hybrid_search` computes them.

    Args:
        embeddings: (queries, documents).
        words: of BM25, the same shape; a document without any word of the query, at 0, is in no
            ranking of words.
    """
    return _reciprocal(embeddings, np.ones_like(words, dtype=bool)) + _reciprocal(words, words > 0)


def weighted(embeddings: Scores, words: Scores, weight: float) -> Scores:
    """Return weight * embeddings + (1 - weight) * words, both standardised for each query."""
    return weight * standardised(embeddings) + (1 - weight) * standardised(words)


def standardised(scores: Scores) -> Scores:
    """Return the scores with mean 0 and deviation 1 over the documents of each query.

    Where all documents score the same, they are 0.
    """
    deviations = scores.std(axis=1, keepdims=True)
    level = deviations < 1e-12
    centred = scores - scores.mean(axis=1, keepdims=True)
    return np.where(level, 0, centred / np.where(level, 1, deviations))


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
        top = order[ranked[row, order]][:RRF_DEPTH]
        fused[row, top] = 1 / (RRF_CONSTANT + np.arange(len(top)))
    return fused
