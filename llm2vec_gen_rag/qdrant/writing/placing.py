"""Which point a document goes to, and who holds it afterwards.

A document's id names its point. If two sources give one id different contents, the point of the id
keeps the first, and the other content gets a point beside it: both stay findable, and neither run
undoes the other. So it is with a point that a framework's store wrote, which is never a source's.
Documents that are alike share a point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.points.stamps import Holder, Stamp

ADDED, REPLACED, UNCHANGED = "added", "replaced", "unchanged"


def candidates(document: Document) -> tuple[str, str]:
    """Return the two points that may hold a document: that of its id, and the one beside it."""
    return document.point_id, document.point_id_beside


def is_settled(found: Mapping[str, Stamp | None], document: Document, holder: Holder) -> bool:
    """Return whether the point of a document's id holds it for this holder, so nowhere else."""
    stamp = found.get(document.point_id)
    return stamp is not None and Stamp.of(document, stamp.holders | {holder}) == stamp


class Plan:
    """The points of a batch: as stored, and as they are to be.

    Args:
        found: The points that there are, of all that may hold the documents; None for the stamp of
            one that no source holds.

    Attributes:
        stored: The stamps that were found.
        wanted: The stamps as they are to be; a point without a holder is to be deleted.
        documents: What is to be written at points whose content changes.
    """

    def __init__(self, found: Mapping[str, Stamp | None]) -> None:
        self.stored = {point: stamp for point, stamp in found.items() if stamp is not None}
        self.wanted = dict(self.stored)
        self.documents: dict[str, Document] = {}
        self._taken = found.keys() - self.stored.keys()

    def place(self, document: Document, holder: Holder, earlier: Iterable[str] = ()) -> str:
        """Give a document its point.

        Args:
            document: The document.
            holder: Who holds it.
            earlier: Where else the holder may have had a document of this id.

        Returns:
            Whether it is added, replaced or unchanged.
        """
        stamp = Stamp.of(document, [holder])
        points = dict.fromkeys([*candidates(document), *earlier])
        held = next((s.content for p in points if (s := self._held(p, holder))), None)
        target = self._target(*candidates(document), stamp.content, holder)
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

    def _target(self, of_id: str, beside: str, content: str, holder: Holder) -> str:
        for point in (of_id, beside):
            present = self._present(point)
            if present is not None and present.content == content:
                return point
        present = self._present(of_id)
        is_free = of_id not in self._taken and (present is None or present.holders == {holder})
        return of_id if is_free else beside

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
