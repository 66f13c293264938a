"""Who holds a document, and the stamp in its point that says so.

A document stays as long as one source holds it. Its point lists its holders, so that two sources
with the same document share one point, and each lets go of it on its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llm2vec_gen_rag.qdrant.documents import Document

WHOLE = "."  # the file of a source that is a file


@dataclass(frozen=True, order=True)
class Holder:
    """A source, and the file of it that holds a document.

    Attributes:
        source: A name, or the absolute path of a folder or file that `index` read.
        file: The file's path below that folder, or `WHOLE`; empty unless `index` read a file.
    """

    source: str
    file: str = ""

    def __post_init__(self) -> None:
        """Refuse, before anything is read or written, what a point could not keep as a name."""
        if not isinstance(self.source, str):
            raise ValueError(
                f"source is {self.source!r}; expected a string, such as a folder's path. Pass "
                "source=str(...)."
            )
        try:
            self.source.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"source is {self.source!r}, which holds a lone surrogate; expected text that "
                "UTF-8 can write. Choose another name."
            ) from error

    @property
    def path(self) -> str:
        """Return the absolute path of the file; empty if `index` did not read one."""
        if self.file in ("", WHOLE):
            return self.source if self.file else ""
        return f"{self.source.rstrip('/')}/{self.file}"

    def is_within(self, path: str) -> bool:
        """Return whether the file is at this absolute path or below it."""
        return bool(self.file) and is_within(self.path, path)


@dataclass(frozen=True)
class Stamp:
    """What tells an unchanged document from a changed one, and who holds it.

    Attributes:
        text: Digest of the text alone: as long as it is the same, the stored vector is kept.
        content: Digest of the text and the metadata.
        holders: The sources that hold the document.
    """

    text: str
    content: str
    holders: frozenset[Holder]

    @classmethod
    def of(cls, document: Document, holders: Iterable[Holder]) -> Stamp:
        """Return the stamp of a document with these holders."""
        content = _content(document.text, document.metadata)
        return cls(_digest(document.text), content, frozenset(holders))

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Stamp | None:
        """Return the stamp that `fields` wrote; None for what another client did."""
        text, content, sources = (fields.get(name) for name in ("text", "content", "sources"))
        if not (isinstance(text, str) and isinstance(content, str) and isinstance(sources, list)):
            return None
        holders = [_read_holder(held) for held in sources]
        known = frozenset(holder for holder in holders if holder is not None)
        return None if None in holders else cls(text, content, known)

    def fields(self, point_id: str) -> dict[str, Any]:
        """Return what a point's payload keeps of the stamp, as JSON."""
        return {
            "text": self.text,
            "content": self.content,
            "sources": [{"source": h.source, "file": h.file} for h in sorted(self.holders)],
            "state": self.state(point_id),
        }

    def is_of(self, text: str, metadata: Mapping[str, Any]) -> bool:
        """Return whether this is the stamp of such a text with such metadata."""
        return self.content == _content(text, metadata)

    def state(self, point_id: str) -> str:
        """Return a digest of the point's stamp: a write applies to the state it has read only."""
        held = sorted((holder.source, holder.file) for holder in self.holders)
        return _digest(json.dumps([point_id, self.content, held]))


def is_within(path: str, folder: str) -> bool:
    """Return whether an absolute path is this one or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _read_holder(held: object) -> Holder | None:
    match held:
        case {"source": str(source), "file": str(file)}:
            try:
                return Holder(source, file)
            except ValueError:  # no UTF-8 can write the name
                return None
    return None


def _content(text: str, metadata: Mapping[str, Any]) -> str:
    return _digest(json.dumps([text, dict(metadata)], sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
