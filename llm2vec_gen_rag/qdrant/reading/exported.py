"""Lines that `DocumentCollection.export` wrote, which say who holds their document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.points.payload import STAMP_KEY
from llm2vec_gen_rag.qdrant.points.stamps import Holder


@dataclass(frozen=True)
class ExportedDocument(Document):
    """A document, and who held it in the collection that was exported.

    Attributes:
        holders: Those that did; none if a framework's store had added it.
    """

    holders: tuple[Holder, ...] = ()


def with_holders(document: Document, row: Mapping[str, Any]) -> Document:
    """Return a document with the holders that its line notes.

    Args:
        document: The document of the line.
        row: The line, with or without a note.

    Returns:
        The document; as it is if the line has no note.

    Raises:
        ValueError: The note is none of `export`'s.
    """
    note = row.get(STAMP_KEY)
    if note is None:
        return document
    try:
        holders = tuple(Holder(held["source"], held["file"]) for held in note["sources"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'"{STAMP_KEY}" is {note!r:.80} ({error}); expected the sources that `export` writes '
            "there. Leave it out"
        ) from error
    return ExportedDocument(document.text, document.id, document.metadata, holders)
