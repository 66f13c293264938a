"""BM25 in Qdrant: sparse vectors whose dot product, with the IDF modifier, is the score.

    score(q, d) = sum over t in q of  IDF(t) * tf (k1 + 1) / (tf + k1 (1 - b + b |d| / L))

(Robertson and Zaragoza, 2009.) The document's vector holds the fraction, the query's holds ones,
and Qdrant multiplies by the IDF of the collection at the time of the search.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from qdrant_client import models

from llm2vec_gen_rag.qdrant.points.words import words_of

SPARSE_VECTOR = "bm25"

_K1 = 1.2
_B = 0.75
# L is a constant, as in Qdrant's own BM25: the true mean would change with every document added.
_MEAN_LENGTH = 256


def document_vector(text: str) -> models.SparseVector:
    """Return the saturated term frequencies of a document; empty for a text without words."""
    counts = _term_counts(text)
    length = counts.total()
    norm = _K1 * (1 - _B + _B * length / _MEAN_LENGTH)
    return models.SparseVector(
        indices=list(counts),
        values=[tf * (_K1 + 1) / (tf + norm) for tf in counts.values()],
    )


def query_vector(text: str) -> models.SparseVector:
    """Return a one for each distinct word of a query."""
    terms = list(_term_counts(text))
    return models.SparseVector(indices=terms, values=[1.0] * len(terms))


def share_of_words(query: models.SparseVector, document: models.SparseVector) -> float:
    """Return the share of a query's distinct words that a document has; 0 if it has no words."""
    asked = set(query.indices)
    return len(asked & set(document.indices)) / len(asked) if asked else 0.0


def _term_counts(text: str) -> Counter[int]:
    return Counter(_term_index(word) for word in words_of(text))


def _term_index(word: str) -> int:
    """Return a word's index below 2**32; Python's `hash` would differ between processes."""
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big")
