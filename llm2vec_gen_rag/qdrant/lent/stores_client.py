"""What the frameworks' stores and users write: documents of their own, never over a source's.

A store's document has more than text and metadata: a vector of its own, and in LlamaIndex relations
to other nodes. So it shares no point with a source's, even if the two are alike. Where a source
holds the point of its id, the store's document lies beside it, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient
from llm2vec_gen_rag.qdrant.points.ids import stores_point_id
from llm2vec_gen_rag.qdrant.points.pages import batches
from llm2vec_gen_rag.qdrant.points.payload import (
    STAMP_KEY,
    STATE_KEY,
    read_id,
    read_payload,
    stamp_at,
    stamp_of,
)
from llm2vec_gen_rag.qdrant.writing.as_read import ATTEMPTS, contention

Payload: TypeAlias = dict[str, Any]

_REQUESTS = 16  # to each process that uploads, before the next points are looked up


class StoresClient(CollectionClient):
    """A collection's client whose upserts leave the documents of sources as they are.

    The points come complete from `LentClient`. One that was read from here, and is written back
    with text, metadata and holders as they were, stays a source's; with others it is a store's.

    Args:
        client: The collection's client.
        collection_name: The collection.
    """

    def __init__(self, client: QdrantClient | CollectionClient, collection_name: str) -> None:
        super().__init__(client)
        self._collection_name = collection_name

    def upsert(self, collection_name: str, points: Any, **options: Any) -> Any:
        """Call `QdrantClient.upsert`, with points that are no source's."""
        call = self.__getattr__("upsert")
        if not self._is_ours(collection_name):
            return call(collection_name, points, **options)
        return self._write(points, options, call)

    def upload_points(
        self,
        collection_name: str,
        points: Iterable[Any],
        batch_size: int = 64,
        parallel: int = 1,
        **options: Any,
    ) -> None:
        """Call `QdrantClient.upload_points`, with points that are no source's."""
        call = self.__getattr__("upload_points")
        options.update(batch_size=batch_size, parallel=parallel)
        if not self._is_ours(collection_name):
            call(collection_name, points, **options)
            return
        self.require_open()
        for page in batches(points, _REQUESTS * batch_size * parallel):
            self._write(page, options, call)

    def batch_update_points(
        self, collection_name: str, update_operations: Sequence[Any], **options: Any
    ) -> list[Any]:
        """Call `QdrantClient.batch_update_points`, one by one: each sees what the last one did."""
        call = self.__getattr__("batch_update_points")
        if not self._is_ours(collection_name):
            return list(call(collection_name, update_operations, **options))
        results: list[Any] = []
        for operation in update_operations:
            if isinstance(operation, models.UpsertOperation):
                results += self._upsert_in_batch(operation.upsert, options, call)
            else:
                results += call(collection_name, [operation], **options)
        return results

    def _upsert_in_batch(self, upsert: Any, options: dict[str, Any], call: Any) -> Any:
        """Carry out one `UpsertOperation`, whose condition and other fields are its own."""
        fields = {name: getattr(upsert, name) for name in type(upsert).model_fields}
        points, where = fields.pop("points"), fields.pop("update_filter")

        def send(name: str, placed: Any, *, update_filter: Any, **options: Any) -> Any:
            whole = models.PointsList(points=placed, update_filter=update_filter, **fields)
            return call(name, [models.UpsertOperation(upsert=whole)], **options)

        return self._write(points, {**options, "update_filter": where}, send)

    def _write(
        self,
        points: Iterable[models.PointStruct],
        options: Mapping[str, Any],
        send: Callable[..., Any],
    ) -> Any:
        """Write points beside those of sources; anew where a source came first meanwhile.

        Args:
            points: Complete points.
            options: Of the call, such as the caller's own ``update_filter``.
            send: Writes the points that it is given.

        Returns:
            What the last call returned.

        Raises:
            CollectionError: Sources keep taking the points.
        """
        name, left = self._collection_name, list(points)
        for _ in range(ATTEMPTS):
            there = self._payloads(p for point in left for p in (point.id, _beside(point)))
            placed = [_placed(point, there) for point in left]
            conditions = [options.get("update_filter"), _as_read(placed, there)]
            where = models.Filter(must=[each for each in conditions if each is not None])
            # what is written is then looked at, so it is waited for
            result = send(name, placed, **{**options, "update_filter": where, "wait": True})
            now = self._payloads(point.id for point in placed)
            pairs = zip(left, placed, strict=True)
            left = [point for point, at in pairs if _is_taken(at, now.get(str(at.id)))]
            if not left:
                return result
        raise CollectionError(contention(name, len(left)))

    def _payloads(self, points: Iterable[Any]) -> dict[str, Payload]:
        """Return what is noted in those points that there are."""
        ids = [*dict.fromkeys(points)]
        retrieve = self.__getattr__("retrieve")
        records = retrieve(self._collection_name, ids, with_payload=[STAMP_KEY]) if ids else []
        return {str(record.id): record.payload or {} for record in records}

    def _is_ours(self, collection_name: object) -> bool:
        if collection_name == self._collection_name:
            return True
        aliases = self.__getattr__("get_collection_aliases")(self._collection_name).aliases
        return any(alias.alias_name == collection_name for alias in aliases)


def _beside(point: models.PointStruct) -> str:
    return stores_point_id(_id(point))


def _id(point: models.PointStruct) -> int | str:
    return point.id if isinstance(point.id, int) else str(point.id)


def _placed(point: models.PointStruct, there: Mapping[str, Payload]) -> models.PointStruct:
    """Return the point where a store may write it, without what makes one a source's.

    Args:
        point: A complete point.
        there: What is noted in it and in the one beside it, if there are any.

    Returns:
        The point as it is, if it is what a source wrote there; another one if it is a store's.
    """
    where, beside, payload = _id(point), _beside(point), point.payload or {}
    stamp = stamp_at(where, there[str(where)]) if str(where) in there else None
    if _is_whole(point) and (str(where) not in there or stamp == stamp_at(where, payload)):
        return point
    if stamp is not None or beside in there:
        note = {"id": read_id(where, payload)}
        return models.PointStruct(
            id=beside, vector=point.vector, payload={**payload, STAMP_KEY: note}
        )
    if stamp_of(payload):
        payload = {**payload, STAMP_KEY: {"id": read_id(where, payload)}}
    return models.PointStruct(id=where, vector=point.vector, payload=payload)


def _is_whole(point: models.PointStruct) -> bool:
    """Return whether a point is as a source wrote it: its stamp is for this point and content."""
    payload = point.payload or {}
    stamp = stamp_at(_id(point), payload)
    return stamp is not None and stamp.is_of(*read_payload(_id(point), payload))


def _as_read(placed: Iterable[models.PointStruct], there: Mapping[str, Payload]) -> models.Filter:
    """Return what the points may replace: those that no source holds, or that are the same."""
    noted = {_id(point): stamp_of(there.get(str(point.id), {})).get("state") for point in placed}
    states = [state for state in noted.values() if isinstance(state, str)]
    unstamped = models.IsEmptyCondition(is_empty=models.PayloadField(key=STATE_KEY))
    # no point is in the state "", but a condition must name one
    same = models.FieldCondition(key=STATE_KEY, match=models.MatchAny(any=states or [""]))
    # no source wrote a state of another kind, nor writes over a point that has one
    malformed: list[models.ExtendedPointId] = [
        point for point, state in noted.items() if not isinstance(state, str | None)
    ]
    other = models.HasIdCondition(has_id=malformed)
    return models.Filter(should=[unstamped, same, other])


def _is_taken(placed: models.PointStruct, now: Payload | None) -> bool:
    """Return whether a source holds the point, so that a store's was not written."""
    stamp = stamp_at(_id(placed), now) if now is not None else None
    return stamp is not None and stamp != stamp_at(_id(placed), placed.payload or {})
