"""The texts of points that others wrote: LangChain's, LlamaIndex's, or under a key of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from llm2vec_gen_rag.qdrant.documents import Hit
from llm2vec_gen_rag.qdrant.points.payload import (
    METADATA_KEY,
    TEXT_KEY,
    node_metadata,
    node_text,
    read_node,
)


@dataclass(frozen=True)
class Texts:
    """Reads the text of a point, whoever wrote it.

    Attributes:
        key: The name in the payload that holds the text; None reads what LangChain's store and
            LlamaIndex's write unless they are told otherwise.
    """

    key: str | None = None

    def text(self, payload: Mapping[str, Any] | None) -> str | None:
        """Return the text of a point; None if there is none, or nothing but spaces."""
        found = self._text(payload or {})
        return found if isinstance(found, str) and found.strip() else None

    def hit(self, point: models.ScoredPoint) -> Hit:
        """Return a point that was found, with all its payload but the text as its metadata."""
        payload = point.payload or {}
        return Hit(str(point.id), point.score, self.text(payload) or "", self.metadata(payload))

    def _text(self, payload: Mapping[str, Any]) -> object:
        if self.key is not None:
            return payload.get(self.key)
        node = read_node(payload)
        return payload.get(TEXT_KEY) if node is None else node_text(node)

    def metadata(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the payload says beside the text."""
        node = read_node(payload)
        if node is not None:
            return node_metadata(node)
        metadata = payload.get(METADATA_KEY)
        if isinstance(metadata, dict):
            return metadata
        return {name: payload[name] for name in payload if name != (self.key or TEXT_KEY)}
