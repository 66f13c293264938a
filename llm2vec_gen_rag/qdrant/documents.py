"""What goes into a collection, what a search returns, and what indexing did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from llm2vec_gen_rag.qdrant.json_values import require_json, require_text

# Never to be changed: with other point ids every document would be indexed a second time.
_POINT_IDS = UUID("5b0c7c0e-6a55-5d5c-9d3e-0f6b2f6a7d11")


@dataclass(frozen=True)
class Document:
    """A text to find, embedded whole: cut long texts into passages before you index them.

    The model reads 512 tokens, including its instruction and the response tokens. The rest of a
    longer text is stored, shown, and found by its words in a hybrid search, but not by its
    meaning; `IndexReport` counts and names such texts.

    Attributes:
        text: The text, stored byte for byte.
        id: A name that stays the same when the text changes, such as ``"trip.md#3"``, unique in
            its source: a second one with another content is refused. Without one, text and metadata
            identify the document.
        metadata: JSON values; both frameworks return and filter by them.

    Raises:
        ValueError: The text, the id or the metadata is not what JSON can hold.
    """

    text: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for what a store or a framework could not hold."""
        require_text(f"text of document {self.id!r}", self.text)
        if self.id is not None:
            require_text(f"id of document {self.id!r}", self.id)
        what = f"metadata of document {self.id!r}"
        if not isinstance(self.metadata, Mapping):
            raise ValueError(f"{what} is {self.metadata!r:.80}; expected a mapping: {{}} for none.")
        require_json(what, dict(self.metadata))

    @property
    def point_id(self) -> str:
        """Return the Qdrant point id: a UUID derived from the id, or from all else without one."""
        if self.id is not None:
            return derived_point_id(f"id:{self.id}")
        if not self.metadata:
            return derived_point_id(f"text:{self.text}")
        return derived_point_id(
            "all:" + json.dumps([self.text, dict(self.metadata)], sort_keys=True)
        )

    @property
    def point_id_beside(self) -> str:
        """Return the point for this content where the point of the id holds another."""
        whole = [self.point_id, self.text, dict(self.metadata)]
        return derived_point_id("beside:" + json.dumps(whole, sort_keys=True))


@dataclass(frozen=True)
class Hit:
    """One search result.

    Attributes:
        id: The document's own id; the point's id if the document had none.
        score: Cosine similarity in [-1, 1]; after `hybrid_search`, the fused rank score.
        text: The document's text.
        metadata: The document's metadata.
    """

    id: str
    score: float
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class StoredDocument:
    """A document as the collection holds it.

    Attributes:
        id: The document's own id, as `Hit.id`; the point's id if the document had none.
        text: The document's text.
        metadata: The document's metadata.
        sources: Who holds it: names of sources, and the paths of the files that `index` read. None
            for what a framework's store added.
    """

    id: str
    text: str
    metadata: dict[str, Any]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class IndexReport:
    """What indexing did, in documents.

    Attributes:
        added: New to the collection.
        replaced: This source held it with another text or other metadata. Only a changed text is
            embedded again, or one that parts from what another source holds under its id.
        unchanged: Already there, from this source or from another.
        truncated: Of those embedded now, the ones too long for the model, which read their
            beginning only.
        removed: Deleted because the last source that held them no longer does
            (`DocumentCollection.sync`).
        truncated_ids: The ids of the truncated ones, as hits have them.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    truncated: int = 0
    removed: int = 0
    truncated_ids: tuple[str, ...] = field(default=(), repr=False)

    def __add__(self, other: IndexReport) -> IndexReport:
        return IndexReport(
            added=self.added + other.added,
            replaced=self.replaced + other.replaced,
            unchanged=self.unchanged + other.unchanged,
            truncated=self.truncated + other.truncated,
            removed=self.removed + other.removed,
            truncated_ids=self.truncated_ids + other.truncated_ids,
        )


def derived_point_id(name: str) -> str:
    """Return the UUID that stands for a name among the points of every collection."""
    return str(uuid5(_POINT_IDS, name))
