"""`LentClient`: the client that users and the frameworks' stores get, which writes whole points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import repeat
from typing import Any
from uuid import uuid4

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.call_arguments import as_ids
from llm2vec_gen_rag.qdrant.lent.ids import CallersIds, in_callers_ids
from llm2vec_gen_rag.qdrant.lent.methods import DOORS_TO_THE_SERVER, partial_write, require_lent
from llm2vec_gen_rag.qdrant.lent.requests import as_selector, in_stored_ids, named_arguments
from llm2vec_gen_rag.qdrant.lent.unrestricted import selects_nothing
from llm2vec_gen_rag.qdrant.opening.shared_client import require_open
from llm2vec_gen_rag.qdrant.points.complete import checked_points, points_of


class LentClient:
    """A `QdrantClient` that writes whole points to one collection, for both frameworks.

    It replaces the client that it wraps, attribute by attribute. For its collection:

    - Points get both halves of the payload and a sparse vector, so what one framework's own store
      adds, the other reads at once. What would write part of a point is refused.
    - What would leave the collection without its model's record, such as creating it anew, is
      refused.
    - An id may be any string. What it was written with comes back, finds the point, deletes it, and
      stands for its vector in a query. As in Qdrant, all spellings of a UUID write one point: two
      in one call are refused, and a later call replaces the point.
    - An empty list of ids, and a filter of empty lists, is nothing to delete. A filter that passes
      every point all the same is refused; `Filter()` itself deletes everything.
    """

    def __init__(self, client: QdrantClient, collection_name: str) -> None:
        self._lender = client
        self._ids = CallersIds(client, collection_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        if name in DOORS_TO_THE_SERVER:
            raise CollectionError(partial_write(name))
        attribute = getattr(self._lender, name)
        return self._in_callers_terms(name, attribute) if callable(attribute) else attribute

    def upsert(self, collection_name: str, points: Any, **options: Any) -> Any:
        """Call `QdrantClient.upsert` with complete points."""
        if self._ids.are_of(collection_name):
            points = list(checked_points(points))
            options = in_stored_ids(options, self._ids)
        return self._lender.upsert(collection_name, points, **options)

    def upload_points(self, collection_name: str, points: Iterable[Any], **options: Any) -> None:
        """Call `QdrantClient.upload_points` with complete points."""
        if self._ids.are_of(collection_name):
            complete = checked_points(points)
            # of a list, all are checked before any is written
            points = list(complete) if isinstance(points, Sequence) else complete
            options = in_stored_ids(options, self._ids)
        self._lender.upload_points(collection_name, points, **options)

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[dict[Any, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> None:
        """Upload vectors, payloads and ids as the complete points that they make."""
        if not self._ids.are_of(collection_name):
            self._lender.upload_collection(collection_name, vectors, payload, ids, **options)
            return
        payloads = repeat(None) if payload is None else payload
        given = (str(uuid4()) for _ in repeat(None)) if ids is None else ids
        self.upload_points(collection_name, points_of(vectors, payloads, given), **options)

    def batch_update_points(
        self, collection_name: str, update_operations: Iterable[Any], **options: Any
    ) -> Any:
        """Call `QdrantClient.batch_update_points`, of which upserting and deleting are allowed."""
        operations = list(update_operations)
        if self._ids.are_of(collection_name):
            whole = [_whole(operation, self._ids) for operation in operations]
            operations = [operation for operation in whole if operation is not None]
            if not operations:
                require_open(self._lender)
                return []
        return self._lender.batch_update_points(collection_name, operations, **options)

    def delete(self, collection_name: str, points_selector: Any, **options: Any) -> Any:
        """Call `QdrantClient.delete`; an empty list is nothing to delete."""
        if self._ids.are_of(collection_name):
            selector = as_selector(points_selector)
            if selects_nothing(selector):
                require_open(self._lender)
                return models.UpdateResult(status=models.UpdateStatus.COMPLETED)
            points_selector = in_stored_ids(selector, self._ids)
        return self._lender.delete(collection_name, points_selector, **options)

    def retrieve(self, collection_name: str, ids: Iterable[Any], **options: Any) -> Any:
        """Call `QdrantClient.retrieve` with ids of any kind."""
        if not self._ids.are_of(collection_name):
            return self._lender.retrieve(collection_name, list(ids), **options)
        require_open(self._lender)
        return in_callers_ids(self._ids.records(as_ids("ids", ids), **options))

    def scroll(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """Call `QdrantClient.scroll`, which may begin at an id of any kind."""
        arguments = named_arguments(self._lender.scroll, (collection_name, *args), kwargs)
        if self._ids.are_of(collection_name):
            arguments = in_stored_ids(arguments, self._ids)
            if arguments.get("offset") is not None:
                arguments["offset"] = self._ids.page_start(arguments["offset"])
        return in_callers_ids(self._lender.scroll(**arguments))

    def _in_callers_terms(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def in_callers_terms(*args: Any, **kwargs: Any) -> Any:
            if not self._ids.are_of(kwargs.get("collection_name", args[0] if args else None)):
                return call(*args, **kwargs)
            arguments = named_arguments(call, args, kwargs)
            require_lent(name, arguments)
            return in_callers_ids(call(**in_stored_ids(arguments, self._ids)))

        return in_callers_terms


def lender_of(client: QdrantClient | LentClient) -> QdrantClient:
    """Return the client behind a lent one; any other as it is."""
    return client._lender if isinstance(client, LentClient) else client


def _whole(operation: Any, ids: CallersIds) -> Any:
    """Return the operation on complete points; None if it does nothing."""
    if isinstance(operation, models.UpsertOperation):
        upsert = operation.upsert
        batch = upsert.batch if isinstance(upsert, models.PointsBatch) else upsert.points
        points = list(checked_points(batch))
        where = in_stored_ids(upsert.update_filter, ids)
        rest = upsert.model_dump(exclude={"batch", "points", "update_filter"}, exclude_none=True)
        whole = models.PointsList(points=points, update_filter=where, **rest)
        return models.UpsertOperation(upsert=whole)
    if isinstance(operation, models.DeleteOperation):
        selector = operation.delete
        return None if selects_nothing(selector) else in_stored_ids(operation, ids)
    raise CollectionError(partial_write(f"batch_update_points with {type(operation).__name__}"))
