"""Payloads that no framework wrote: a point is named rather than shown with another text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.points.payload import (
    METADATA_KEY,
    NODE_KEY,
    STAMP_KEY,
    TEXT_KEY,
    read_node,
    stamp_of,
)


def require_well_formed(name: str, point_id: int | str | UUID, payload: Mapping[str, Any]) -> None:
    """Raise if the text, the metadata or the id of a point cannot be read.

    A LlamaIndex node tells the first two, whatever lies beside it: its metadata may have any names.

    Args:
        name: The collection.
        point_id: The point's id.
        payload: What the point holds.

    Raises:
        CollectionError: The payload is malformed.
    """
    found = _mistake_in_node(payload[NODE_KEY]) if NODE_KEY in payload else None
    if found is None and read_node(payload) is None:
        found = _mistake(payload, {TEXT_KEY: str, METADATA_KEY: dict, STAMP_KEY: dict})
    found = found or _mistake(stamp_of(payload), {"id": str})
    if found is not None:
        given = str(point_id) if isinstance(point_id, UUID) else point_id
        raise CollectionError(
            f"collection {name!r}: point {str(point_id)!r} has a malformed payload: {found}. "
            "Expected what llm2vec-gen-rag, LangChain or LlamaIndex writes. Delete it: "
            f"collection.client.delete({name!r}, [{given!r}]). Then index its document again."
        )


def _mistake_in_node(content: object) -> str | None:
    if not isinstance(content, str):
        return f"{NODE_KEY} is {content!r:.80}, and not JSON text"
    try:
        node = json.loads(content)
    except (ValueError, RecursionError):
        return f"{NODE_KEY} is {content!r:.80}, which is no JSON"
    if not isinstance(node, dict):
        return f"{NODE_KEY} is {content!r:.80}, and not a JSON object"
    return _mistake(node, {"id_": str, "text": str, "metadata": dict, "text_resource": dict})


def _mistake(values: Mapping[str, Any], kinds: Mapping[str, type]) -> str | None:
    """Return the first value of another type than it should have; absent and None are fine."""
    for key, kind in kinds.items():
        value = values.get(key)
        if value is not None and not isinstance(value, kind):
            return f"{key} is {value!r:.80}, and not a {kind.__name__}"
    return None
