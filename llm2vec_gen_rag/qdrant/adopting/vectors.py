"""The vectors of a collection that others wrote: the old ones, and ours beside them by a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.identity import IDENTITY_KEY, Identity, require_writer

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

_UNNAMED = ""


def identity_key(vector: str) -> str:
    """Return where a collection's metadata says which model wrote a named vector."""
    return f"{IDENTITY_KEY}:{vector}"


def claim_vector(client: QdrantClient, name: str, vector: str, model: LLM2VecGen) -> None:
    """Add a named vector for this model, or check that this model wrote it.

    Args:
        client: The collection's client.
        name: The collection, which must exist.
        vector: The vector's name.
        model: The model.

    Raises:
        CollectionMismatchError: Another model wrote the vector.
        CollectionError: There is no such collection, it is one of `DocumentCollection`'s, the
            vector is another program's, or the client or the server cannot add a vector.
    """
    identity = Identity.of(model)
    known = _metadata_of_a_foreign_collection(client, name)
    remembered = known.get(identity_key(vector))
    if remembered is not None:
        require_writer(name, remembered, identity)
    elif vector in dense_vectors(client, name):
        raise CollectionError(
            f"collection {name!r} has a vector {vector!r} already, and does not say which model "
            "wrote it; expected a name that is free. Pass another name for the vector."
        )
    else:
        _remember(client, name, vector, identity)
    _create(client, name, vector, identity.dimension)


def dense_vectors(client: QdrantClient, name: str) -> dict[str, models.VectorParams]:
    """Return the dense vectors of a collection by their names; the unnamed one's is empty."""
    vectors = client.get_collection(name).config.params.vectors
    if isinstance(vectors, models.VectorParams):
        return {_UNNAMED: vectors}
    return dict(vectors or {})


def old_vector(client: QdrantClient, name: str, given: str | None) -> tuple[str, int]:
    """Return the name and the length of the vector that others wrote.

    Args:
        client: The collection's client.
        name: The collection.
        given: Its name; None if there is one only.

    Returns:
        The name, and how many numbers it has.

    Raises:
        ValueError: There is none of the name, or several and none was named.
    """
    metadata = client.get_collection(name).config.metadata or {}
    every = dense_vectors(client, name)
    others = {v: params for v, params in every.items() if identity_key(v) not in metadata}
    if given is None and len(others) == 1:
        given = next(iter(others))
    if given not in others:
        raise ValueError(
            f"old_vector is {given!r}, and collection {name!r} has the vectors {sorted(others)} "
            "beside those of llm2vec-gen-rag; expected one of them. '' is the unnamed one."
        )
    return given, int(others[given].size)


def _metadata_of_a_foreign_collection(client: QdrantClient, name: str) -> Mapping[str, Any]:
    if not client.collection_exists(name):
        found = sorted(each.name for each in client.get_collections().collections)
        raise CollectionError(
            f"there is no collection {name!r} to adopt; found {', '.join(found) or 'none'}. Pass "
            "the name of the one that LangChain or LlamaIndex wrote."
        )
    metadata = client.get_collection(name).config.metadata or {}
    if IDENTITY_KEY in metadata:
        raise CollectionError(
            f"collection {name!r} was written by llm2vec-gen-rag, so there is nothing to adopt; "
            "expected one of another writer. Open it with DocumentCollection.open(...)."
        )
    return metadata


def _remember(client: QdrantClient, name: str, vector: str, identity: Identity) -> None:
    """Note which model the vector is of, before there is one: never is there one without a note."""
    client.update_collection(name, metadata={identity_key(vector): asdict(identity)})
    if identity_key(vector) not in (client.get_collection(name).config.metadata or {}):
        raise CollectionError(
            "The Qdrant server does not keep collection metadata, where a vector's model is noted. "
            "Expected Qdrant 1.16 or newer; update the server."
        )


def _create(client: QdrantClient, name: str, vector: str, dimension: int) -> None:
    """Add the vector; where it is there, with the same length, that changes nothing."""
    if vector in dense_vectors(client, name):
        return
    if not hasattr(QdrantClient, "create_vector_name"):
        raise CollectionError(
            "the installed qdrant-client cannot add a vector to a collection; expected 1.18 or "
            "newer. Run: pip install -U qdrant-client"
        )
    dense = models.DenseVectorConfig(size=dimension, distance=models.Distance.COSINE)
    try:
        client.create_vector_name(name, vector, models.DenseVectorNameConfig(dense=dense))
    except CollectionError as error:
        raise CollectionError(
            f"no vector could be added to collection {name!r} ({error}); expected a Qdrant server "
            "of 1.18 or newer. Update the server, and run this again: nothing was changed but a "
            "note in the collection's metadata."
        ) from error
