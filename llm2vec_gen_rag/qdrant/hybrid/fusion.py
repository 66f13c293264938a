"""Two scores of each document as one: of its embedding, and of its words.

    score(d) = w (c(d) - c_50) / (c_1 - c_50)  +  (1 - w) min(1, 2 s) b(d) / b_1

c is the cosine and b is BM25; c_1 and b_1 are the best of the query, c_50 is its fiftieth cosine.
Scores are compared by how far they lie from each other, which ranks forget: a document with all of
a query's words stands out, whatever lies behind it. (A convex combination of normalised scores;
Bruch, Gai and Ingber, 2023, "An Analysis of Fusion Functions for Hybrid Retrieval".)
s is the share of the query's words that the document with b_1 has. Where it is below a half, no
document answers in the query's words, and those that it has in common with one count for less.
Common words count in s as telling ones do: a document that shares "how do I get" with a question
may come before the one that answers it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WEIGHT = 0.45  # of the embedding; chosen on seven sets of real texts, see docs/real_texts.md
DEPTH = 50  # how far down each of the two rankings is read, at least

Scores = npt.NDArray[np.float64]


def require_weight(weight: object) -> None:
    """Raise ValueError unless a weight is a number from 0 to 1."""
    is_bool = isinstance(weight, bool)
    if is_bool or not (isinstance(weight, int | float) and 0 <= weight <= 1):
        raise ValueError(
            f"weight is {weight!r}; expected a number from 0, the words alone, to 1, the embedding "
            f"alone. Leave it out for {WEIGHT}."
        )


def fused_scores(cosines: Scores, words: Scores, share: float, weight: float) -> Scores:
    """Return the score of each candidate, at most 1.

    Args:
        cosines: (candidates,), the `DEPTH` best of the query among them.
        words: (candidates,), BM25, the best of the query among them; 0 for none of its words.
        share: Of the query's words, those that the document with the best BM25 has, in [0, 1].
        weight: Of the embedding, in [0, 1].

    Returns:
        (candidates,). Candidates below the fiftieth cosine may come out below 0.
    """
    best = np.sort(cosines)[::-1][:DEPTH]
    spread = best[0] - best[-1]
    by_meaning = (cosines - best[-1]) / spread if spread > 0 else np.ones_like(cosines)
    by_words = words / words.max() if words.max() > 0 else np.zeros_like(words)
    by_words *= min(1, 2 * share)
    return np.asarray(weight * by_meaning + (1 - weight) * by_words, dtype=np.float64)


def ranking(cosines: Scores, words: Scores, share: float, weight: float) -> npt.NDArray[np.int64]:
    """Return the places of the candidates, best first; of equal ones, that with more words first.

    Args:
        cosines: (candidates,), as `fused_scores` takes them.
        words: (candidates,).
        share: Of the query's words.
        weight: Of the embedding, in [0, 1].

    Returns:
        (candidates,) int64.
    """
    order = np.lexsort((-cosines, -words, -fused_scores(cosines, words, share, weight)))
    return np.asarray(order, dtype=np.int64)
