"""The weight of hybrid search, fitted on a folder's own judged queries.

The weight for each fifth of the queries is the one that is best on the other four fifths: the
hybrid's figure is of queries that the weight has not seen. The weight to use is the best on all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.evaluation.word_scores import Scores, WordScores
from llm2vec_gen_rag.qdrant.hybrid.fusion import DEPTH, ranking

WEIGHTS = tuple(round(step / 20, 2) for step in range(21))  # of the embedding
FOLDS = 5
SEED = 42
_RESAMPLES = 2000
_CUTOFF = 10


@dataclass(frozen=True)
class Figure:
    """A mean nDCG@10 and the ends of its 95 % bootstrap interval over queries."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class TunedHybrid:
    """What tuning found on one folder.

    Attributes:
        folder: its name.
        queries: how many were judged.
        weight: of the embedding, best on all queries.
        fold_weights: best on the queries outside each fold.
        dense: by the embedding alone.
        words: by BM25 alone.
        default: the hybrid with the weight that is used unless another one is given.
        hybrid: the hybrid, each fold with its own weight.
    """

    folder: str
    queries: int
    weight: float
    fold_weights: tuple[float, ...]
    dense: Figure
    words: Figure
    default: Figure
    hybrid: Figure

    def as_text(self) -> str:
        """Return the figures and how to use the weight, for a person."""
        folds, best = ", ".join(f"{weight:g}" for weight in self.fold_weights), f"{self.weight:g}"
        return (
            f"{self.folder}: {self.queries} queries, nDCG@10 with its 95 % interval\n\n"
            "| embedding | words (BM25) | hybrid, default weight | hybrid, tuned |\n"
            "|---|---|---|---|\n"
            f"| {self.dense} | {self.words} | {self.default} | {self.hybrid} |\n\n"
            f"The tuned hybrid is of queries that its weight has not seen "
            f"(in {FOLDS} folds: {folds})."
            f"\nBest on all queries: {best}. Use it as hybrid_search(query, weight={best}), or as "
            f"search --hybrid --weight {best}."
        )


def tune(
    folder: str,
    cosines: Scores,
    words: WordScores,
    relevant: Sequence[Mapping[int, int]],
    default: float,
) -> TunedHybrid:
    """Return the best weight, and what it gives on queries that it was not fitted on.

    Args:
        folder: the name of the set.
        cosines: (queries, documents).
        words: of the same queries and documents.
        relevant: of each query, the relevance of its relevant documents, by column.
        default: the weight to compare with.

    Returns:
        The weight, and the figures.

    Raises:
        ValueError: if there are fewer queries than two for each fold.
    """
    if len(cosines) < 2 * FOLDS:
        raise ValueError(
            f"{folder} has {len(cosines)} judged queries; expected at least {2 * FOLDS}, as the "
            "weight is fitted on some and tested on others. Judge more queries."
        )
    rows = list(zip(cosines, words.bm25, words.shares, relevant, strict=True))
    by_weight = np.array([[hybrid_ndcg(*row, weight) for row in rows] for weight in WEIGHTS])
    fold_of = np.random.default_rng(SEED).permutation(len(rows)) % FOLDS
    chosen = [_best(by_weight[:, fold_of != fold]) for fold in range(FOLDS)]
    unseen = by_weight[[chosen[fold] for fold in fold_of], np.arange(len(rows))]
    lone = np.array([[ndcg_by(c, r), ndcg_by(w, r, ranked=w > 0)] for c, w, _, r in rows])
    return TunedHybrid(
        folder=folder,
        queries=len(rows),
        weight=WEIGHTS[_best(by_weight)],
        fold_weights=tuple(WEIGHTS[place] for place in chosen),
        dense=figure_of(lone[:, 0]),
        words=figure_of(lone[:, 1]),
        default=figure_of(np.array([hybrid_ndcg(*row, default) for row in rows])),
        hybrid=figure_of(unseen),
    )


def hybrid_ndcg(
    cosines: Scores, words: Scores, share: float, relevant: Mapping[int, int], weight: float
) -> float:
    """Return the nDCG@10 of one query by hybrid search.

    Args:
        cosines: (documents,).
        words: (documents,), BM25.
        share: of the query's words, that its best document by words has.
        relevant: the relevance of its relevant documents, by place.
        weight: of the embedding.

    Returns:
        A number in [0, 1].
    """
    pool = candidates(cosines, words)
    order = pool[ranking(cosines[pool], words[pool], share, weight)]
    return ndcg_of(order, relevant)


def candidates(cosines: Scores, words: Scores) -> npt.NDArray[np.int64]:
    """Return the documents that hybrid search scores: the first of both rankings."""
    by_meaning = np.argsort(-cosines, kind="stable")[:DEPTH]
    by_words = np.argsort(-words, kind="stable")[:DEPTH]
    both = np.union1d(by_meaning, by_words[words[by_words] > 0])
    return np.asarray(both, dtype=np.int64)


def ndcg_of(order: npt.NDArray[np.int64], relevant: Mapping[int, int]) -> float:
    """Return the nDCG@10 of a ranking, with the relevance as the gain, as MTEB has it.

    Args:
        order: places of documents, best first.
        relevant: the relevance of the relevant ones, by place.

    Returns:
        A number in [0, 1].
    """
    gains = [relevant.get(int(place), 0) for place in order[:_CUTOFF]]
    best = sorted(relevant.values(), reverse=True)[:_CUTOFF]
    return _discounted(gains) / _discounted(best)


def ndcg_by(
    scores: Scores, relevant: Mapping[int, int], *, ranked: npt.NDArray[np.bool_] | None = None
) -> float:
    """Return the nDCG@10 of one query by scores.

    Args:
        scores: (documents,), higher is better.
        relevant: the relevance of its relevant documents, by place.
        ranked: (documents,), which of them are found at all; None: all.

    Returns:
        A number in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    return ndcg_of(order if ranked is None else order[ranked[order]], relevant)


def _discounted(gains: Sequence[int]) -> float:
    return float(sum(gain / math.log2(place + 2) for place, gain in enumerate(gains)))


def _best(by_weight: Scores) -> int:
    """Return the place of the best weight; of equally good ones, the middle one."""
    means = np.round(by_weight.mean(axis=1), 9)  # equally good ones differ by the order of a sum
    best = np.flatnonzero(means == means.max())
    return int(best[len(best) // 2])


def figure_of(ndcg: Scores) -> Figure:
    """Return the mean over queries, (queries,), with its bootstrap interval."""
    drawn = np.random.default_rng(SEED).integers(len(ndcg), size=(_RESAMPLES, len(ndcg)))
    low, high = np.quantile(ndcg[drawn].mean(axis=1), [0.025, 0.975])
    return Figure(float(ndcg.mean()), float(low), float(high))
