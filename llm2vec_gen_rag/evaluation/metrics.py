"""Retrieval metrics for questions that have one right document each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def ranks(
    queries: Vectors, documents: Vectors, right: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the rank of each query's right document by dot product, 1 for the best.

    A document that scores the same as the right one precedes it: a tie is no success.

    Args:
        queries: (queries, dimension).
        documents: (documents, dimension).
        right: (queries,) int64, the row of the right document.

    Returns:
        (queries,) int64, ranks from 1.
    """
    found = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), 256):
        rows = slice(start, start + 256)
        scores = queries[rows] @ documents.T
        own = scores[np.arange(len(scores)), right[rows]]
        found[rows] = (scores >= own[:, None]).sum(axis=1)
    return found


def ndcg(rank: npt.NDArray[np.int64], k: int = 10) -> float:
    """Return the mean nDCG@k: 1 / log2(1 + rank) if the rank is at most k, else 0.

    With one relevant document the ideal gain is 1 (Järvelin and Kekäläinen, 2002).
    """
    return float(np.where(rank <= k, 1 / np.log2(1.0 + rank), 0.0).mean())


def success(rank: npt.NDArray[np.int64], k: int) -> float:
    """Return the share of the queries whose right document is among the first k."""
    return float((rank <= k).mean())
