"""Cosine similarities between two lists of vectors."""

from __future__ import annotations

from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.teachers.protocol import unit


def cosines(queries: Vectors, documents: Vectors) -> Vectors:
    """Return the cosine of each query with each document, q.d / (|q| |d|).

    Args:
        queries: (n, dimension), of any lengths; a zero vector has the cosine 0 with all.
        documents: (m, dimension), likewise.

    Returns:
        float32 (n, m).

    Raises:
        ValueError: if the dimensions differ.
    """
    if queries.shape[1] != documents.shape[1]:
        raise ValueError(
            f"the queries' vectors have {queries.shape[1]} dimensions and the documents' "
            f"{documents.shape[1]}; expected vectors of one model"
        )
    products: Vectors = unit(queries) @ unit(documents).T
    return products
