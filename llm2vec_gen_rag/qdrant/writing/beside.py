"""Where a source holds documents beside the points of their ids, which hold other contents."""

from __future__ import annotations

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.points.pages import scroll
from llm2vec_gen_rag.qdrant.points.payload import (
    BESIDE_KEY,
    SOURCE_KEY,
    STAMP_KEY,
    stamp_at,
    stamp_of,
)
from llm2vec_gen_rag.qdrant.points.stamps import Holder


class PointsBeside:
    """The points beside those of their ids, looked up once for each source, when first asked for.

    Such a point is named by its content, so that it cannot be found by the content that follows.

    Args:
        client: The collection's client.
        name: The collection.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client = client
        self._name = name
        self._of_sources: dict[str, dict[tuple[Holder, str], list[str]]] = {}

    def held(self, document: Document, holder: Holder) -> list[str]:
        """Return the points beside that of a document's id that a holder had, in any order."""
        if holder.source not in self._of_sources:
            self._of_sources[holder.source] = self._look_up(holder.source)
        return self._of_sources[holder.source].get((holder, document.point_id), [])

    def _look_up(self, source: str) -> dict[tuple[Holder, str], list[str]]:
        of_source = models.FieldCondition(key=SOURCE_KEY, match=models.MatchValue(value=source))
        in_place = models.IsEmptyCondition(is_empty=models.PayloadField(key=BESIDE_KEY))
        where = models.Filter(must=[of_source], must_not=[in_place])
        points: dict[tuple[Holder, str], list[str]] = {}
        for record in scroll(self._client, self._name, where, with_payload=[STAMP_KEY]):
            payload = record.payload or {}
            stamp, of_id = stamp_at(str(record.id), payload), stamp_of(payload).get("beside")
            for holder in stamp.holders if stamp is not None else ():
                points.setdefault((holder, str(of_id)), []).append(str(record.id))
        return points
