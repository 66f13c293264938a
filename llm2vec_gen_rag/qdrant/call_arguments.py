"""What callers pass to a collection and its stores, checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from google.protobuf.message import Message  # type: ignore[import-untyped]
from pydantic import BaseModel
from qdrant_client import AsyncQdrantClient, models

from llm2vec_gen_rag.qdrant.documents import Document, Hit


def as_list(what: str, values: Any, kind: str) -> list[Any]:
    """Return values as a list.

    Args:
        what: The argument's name, for the error.
        values: An iterable.
        kind: What it should hold.

    Returns:
        What it holds.

    Raises:
        ValueError: It is none, or a string, which would be read as a list of its letters.
    """
    if isinstance(values, str):
        raise ValueError(f"{what} is the string {values!r:.80}; expected a list: [{values!r:.80}].")
    is_other = isinstance(values, bytes | Mapping | BaseModel)
    if is_other or not isinstance(values, Iterable):
        raise ValueError(f"{what} is {values!r:.80}; expected a list of {kind}. Pass [] for none.")
    return list(values)


def require_query(query: object) -> None:
    """Raise ValueError unless a query is a string."""
    if not isinstance(query, str):
        raise ValueError(
            f"query is {query!r:.80}; expected a string. For several, call search_many([...])."
        )


def require_vector(vector: object, dimension: int) -> None:
    """Raise ValueError unless a vector is a finite array of shape (dimension,)."""
    is_array = isinstance(vector, np.ndarray) and vector.shape == (dimension,)
    if not is_array or not np.isfinite(np.asarray(vector)).all():
        found = getattr(vector, "shape", None) or f"{vector!r:.40}"
        raise ValueError(
            f"vector is {found}; expected a finite array of shape ({dimension},), the query's "
            "embedding as the collection's model gives it."
        )


def as_queries(queries: Any) -> list[str]:
    """Return queries as a list.

    Args:
        queries: Strings, in an order.

    Returns:
        The strings.

    Raises:
        ValueError: It is something else, such as a lone string.
    """
    listed = as_list("queries", queries, "strings")
    for place, query in enumerate(listed):
        if not isinstance(query, str):
            raise ValueError(f"queries[{place}] is {query!r:.80}; expected a string. Leave it out.")
    return listed


def require_documents(documents: Any) -> None:
    """Raise ValueError unless it is an iterable of something; each is checked when it is read."""
    if isinstance(documents, Document):
        raise ValueError("documents is one Document; expected a list: pass [document].")
    if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Iterable):
        raise ValueError(
            f"documents is {documents!r:.80}; expected a list or another iterable of "
            "llm2vec_gen_rag.qdrant.Document, such as [Document(text)]."
        )


def as_hit_ids(ids: Any) -> list[str]:
    """Return ids of hits as a list.

    Args:
        ids: Strings.

    Returns:
        The strings.

    Raises:
        ValueError: It is something else, such as a lone string.
    """
    listed = as_list("ids", ids, "strings, as Hit.id always is")
    for place, each in enumerate(listed):
        if not isinstance(each, str):
            remedy = ": pass hit.id" if isinstance(each, Hit) else ", as `Hit.id` always is"
            raise ValueError(f"ids[{place}] is {each!r:.80}; expected a str{remedy}.")
    return listed


def as_ids(what: str, ids: Any) -> list[Any]:
    """Return ids of points, of any kind, as a list.

    Args:
        what: The argument's name, for the error.
        ids: Strings, integers or UUIDs.

    Returns:
        The ids.

    Raises:
        ValueError: It is something else, such as a lone string.
    """
    listed = as_list(what, ids, "ids")
    for place, each in enumerate(listed):
        if isinstance(each, bool) or not isinstance(each, int | str | UUID):
            raise ValueError(
                f"{what}[{place}] is {each!r:.80}; expected a string, an integer or a UUID. Pass "
                "the ids that the documents were written with."
            )
    return listed


def require_filter(name: str, given: object) -> None:
    """Raise ValueError unless a filter of Qdrant's own is one, or None."""
    if not isinstance(given, models.Filter | Message | None):
        raise ValueError(
            f"{name} is {given!r:.80}; expected a qdrant_client.models.Filter, such as "
            'Filter(must=[FieldCondition(key="metadata.lang", match=MatchValue(value="en"))]).'
        )


def require_client(client: object) -> None:
    """Raise ValueError unless a client is a `QdrantClient`, or stands in for one.

    Args:
        client: A client.

    Raises:
        ValueError: It is something else, or asynchronous.
    """
    if isinstance(client, AsyncQdrantClient) or not hasattr(client, "collection_exists"):
        raise ValueError(
            f"client is a {type(client).__name__}; expected a qdrant_client.QdrantClient. To open "
            "a folder or a server by its name, call DocumentCollection.open(...)."
        )


def require_model(model: object) -> None:
    """Raise ValueError unless a model is loaded."""
    from llm2vec_gen_rag import model as loaded  # here, as it imports torch

    loaded.require_model(model)
