"""Which vectors a collection holds: created so, and required when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.damage import meta_file
from llm2vec_gen_rag.qdrant.points.bm25 import SPARSE_VECTOR


def vectors_of(dimension: int) -> dict[str, Any]:
    """Return the arguments of `create_collection` that say which vectors a point has.

    Args:
        dimension: The length of the model's vectors.

    Returns:
        One unnamed vector, compared by cosine, and the words of hybrid search.
    """
    return {
        "vectors_config": models.VectorParams(size=dimension, distance=models.Distance.COSINE),
        "sparse_vectors_config": {
            SPARSE_VECTOR: models.SparseVectorParams(modifier=models.Modifier.IDF)
        },
    }


def require_vectors_of(
    client: QdrantClient, name: str, params: models.CollectionParams, dimension: int
) -> None:
    """Raise unless a collection has the vectors that it was created with.

    Args:
        client: The collection's client.
        name: The collection.
        params: Its own.
        dimension: The length of the model's vectors.

    Raises:
        CollectionError: It has others, so that searches would fail, or rank by something else.
    """
    found = _described(params.vectors, params.sparse_vectors)
    expected = _described(*vectors_of(dimension).values())
    if found == expected:
        return
    folder = client.init_options["path"]
    where, instead = "Qdrant", "take another collection name"
    if folder is not None:
        where, instead = str(meta_file(Path(folder))), "move the folder away"
    raise CollectionError(
        f"{where} says that collection {name!r} has {found}; expected {expected}, as it was "
        f"created. Restore it from a backup, or {instead} and index your documents again."
    )


def _described(vectors: Any, sparse: Any) -> str:
    """Return what decides a search, in words."""
    if isinstance(vectors, models.VectorParams):
        kind = "several vectors" if vectors.multivector_config else "one vector"
        dense = f"{kind} of size {vectors.size} by {vectors.distance.value} distance"
    else:
        dense = f"vectors named {sorted(vectors or {})}"
    words = (sparse or {}).get(SPARSE_VECTOR)
    weights = words.modifier.value if words is not None and words.modifier else "no"
    lacks = "without" if words is None else f"with {weights} weights of"
    return f"{dense} {lacks} the sparse vector {SPARSE_VECTOR!r}"
