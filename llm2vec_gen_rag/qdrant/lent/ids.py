"""The points of a collection by the ids that callers know them by, and those ids in answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import QueryResponse  # models has another of this name

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.points.ids import PointId, as_uuid, stored_ids, with_hit_ids
from llm2vec_gen_rag.qdrant.points.pages import scroll
from llm2vec_gen_rag.qdrant.points.payload import STAMP_KEY, read_id, read_stamp, stamp_of

Anything = TypeVar("Anything")

_ANSWERED = (QueryResponse, models.GroupsResult, models.PointGroup)


class CallersIds:
    """The points of one collection by callers' ids.

    A caller's id is that of a hit. It may also be Qdrant's own, which an answer without payloads
    has, unless it is that of a hit as well.

    Args:
        client: The collection's client.
        name: The collection.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client = client
        self._name = name

    def are_of(self, collection_name: object) -> bool:
        """Return whether this is the collection's name, or an alias of it."""
        if collection_name == self._name or not isinstance(collection_name, str):
            return collection_name == self._name
        aliases = self._client.get_collection_aliases(self._name).aliases
        return any(alias.alias_name == collection_name for alias in aliases)

    def passing(self, given: Iterable[PointId]) -> models.Filter:
        """Return the filter that passes the points with these ids.

        Args:
            given: Callers' ids.

        Returns:
            The filter.

        Raises:
            ValueError: One of them is none that `points.ids.point_id` takes.
        """
        ids = list(given)
        hits = with_hit_ids(ids)
        own: set[str] = {each for each in ids if isinstance(each, str) and as_uuid(each)}
        if not own:
            return hits
        named = scroll(self._client, self._name, with_hit_ids(own), with_payload=[STAMP_KEY])
        own -= {read_id(str(record.id), record.payload or {}) for record in named}
        return models.Filter(should=[hits, models.HasIdCondition(has_id=sorted(own))])

    def records(self, given: Iterable[PointId], **options: Any) -> list[models.Record]:
        """Return the points with these ids, in the order of the ids.

        Args:
            given: Callers' ids.
            **options: Of `QdrantClient.scroll`.

        Returns:
            The points that there are.
        """
        asked = list(given)
        if not asked:
            return []
        found = self._scroll(self.passing(asked), **options)
        stored = [str(point) for each in asked for point in stored_ids(each)]
        places = {point: place for place, point in enumerate(stored)}
        return sorted(found, key=lambda record: places.get(str(record.id), len(places)))

    def point(self, given: PointId) -> models.ExtendedPointId:
        """Return Qdrant's id of the one point with this id.

        Args:
            given: A caller's id.

        Returns:
            The point's.

        Raises:
            CollectionError: There is none, or more than one.
        """
        found = [record.id for record in self._scroll(self.passing([given]), with_payload=False)]
        if len(found) == 1:
            return found[0]
        raise CollectionError(
            f"{len(found) or 'no'} points of collection {self._name!r} have the id {given!r}; "
            "expected one to start from. Pass the id of a hit that is there, or a vector."
        )

    def page_start(self, offset: PointId) -> models.ExtendedPointId:
        """Return the point where a page begins: one that `scroll` named, or that of a caller's id.

        Args:
            offset: What `scroll` returned with the page before, or a caller's id.

        Returns:
            Qdrant's id of a point.

        Raises:
            CollectionError: No point has the id, or more than one.
        """
        if not isinstance(offset, str):
            return offset
        if as_uuid(offset) is None:
            return self.point(offset)
        if self._client.retrieve(self._name, [offset], with_payload=False):
            return offset
        # a page's first point may be deleted before it is asked for
        found = list(self._scroll(with_hit_ids([offset]), with_payload=False))
        return found[0].id if found else offset

    def _scroll(self, where: models.Filter, **options: Any) -> Iterator[models.Record]:
        return scroll(self._client, self._name, where, **options)


def in_callers_ids(answer: Anything) -> Anything:
    """Return an answer whose points have the ids that a framework or a user wrote them with.

    The documents of this library keep their `Document.point_id`; so does every point whose payload
    is not in the answer. Either id finds the point.

    Args:
        answer: What a client's method returned.

    Returns:
        A copy where it holds points; all else as it is.
    """
    return _in_callers_ids(answer)  # type: ignore[no-any-return]


def _in_callers_ids(answer: Any) -> Any:
    if isinstance(answer, models.Record | models.ScoredPoint):
        payload = answer.payload or {}
        written = stamp_of(payload).get("id")
        if not isinstance(written, str) or read_stamp(payload) is not None:
            return answer
        return answer.model_copy(update={"id": written})
    if isinstance(answer, list | tuple):
        return type(answer)(map(_in_callers_ids, answer))
    return _copied(answer) if isinstance(answer, _ANSWERED) else answer


def _copied(model: BaseModel) -> BaseModel:
    changed = {name: _in_callers_ids(getattr(model, name)) for name in type(model).model_fields}
    return model.model_copy(update=changed)
