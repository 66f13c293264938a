"""Which point a document goes to, and who holds it afterwards.

A document's id names its point. If two sources give one id different contents, the point of the id
keeps the first, and the other source gets a point of its own: both stay findable, and neither run
undoes the other. Documents that are alike share a point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.sources import Holder, Stamp

ADDED, REPLACED, UNCHANGED = "added", "replaced", "unchanged"


def candidates(document: Document, holder: Holder) -> tuple[str, str]:
    """Return the point of the document's id, and the holder's own point for that id."""
    return document.point_id, document.own_point_id(f"{holder.source}\n{holder.file}")


class Plan:
    """The points of a batch: as stored, and as they are to be.

    Args:
        stored: The stamp of each point that there is, of all `candidates`.

    Attributes:
        stored: As given.
        wanted: The stamps as they are to be; a point without a holder is to be deleted.
        documents: What is to be written at points whose content changes.
    """

    def __init__(self, stored: Mapping[str, Stamp]) -> None:
        self.stored = dict(stored)
        self.wanted = dict(stored)
        self.documents: dict[str, Document] = {}

    def place(self, document: Document, holder: Holder) -> str:
        """Give the document its point, and return whether it is added, replaced or unchanged."""
        stamp = Stamp.of(document, [holder])
        points = candidates(document, holder)
        held = next((s.content for p in points if (s := self._held(p, holder))), None)
        target = self._target(*points, stamp.content, holder)
        present = self._present(target)
        known = present is not None and present.content == stamp.content
        for point in points:
            if point != target and (left := self._held(point, holder)):
                self.wanted[point] = without(left, {holder})
        if present is not None and known:
            self.wanted[target] = dataclasses.replace(present, holders=present.holders | {holder})
        else:
            self.wanted[target] = stamp
            self.documents[target] = document
        if held == stamp.content or (held is None and known):
            return UNCHANGED
        return ADDED if held is None else REPLACED

    def changed(self) -> list[str]:
        """Return the points that are to be written or deleted."""
        return [p for p, stamp in self.wanted.items() if stamp != self.stored.get(p)]

    def _target(self, of_id: str, own: str, content: str, holder: Holder) -> str:
        present = self._present(of_id)
        if present is not None and present.content == content:
            return of_id
        if self._present(own) is not None:
            return own
        return of_id if present is None or present.holders == {holder} else own

    def _present(self, point: str) -> Stamp | None:
        """Return the stamp of a point that somebody holds."""
        stamp = self.wanted.get(point)
        return stamp if stamp is not None and stamp.holders else None

    def _held(self, point: str, holder: Holder) -> Stamp | None:
        stamp = self.wanted.get(point)
        return stamp if stamp is not None and holder in stamp.holders else None


def without(stamp: Stamp, holders: set[Holder]) -> Stamp:
    """Return the stamp once these holders have let go."""
    return dataclasses.replace(stamp, holders=stamp.holders - holders)
