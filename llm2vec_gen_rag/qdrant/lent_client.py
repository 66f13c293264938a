"""The client that a collection lends to users and to the frameworks' stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from itertools import repeat
from typing import Any
from uuid import uuid4

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.complete_points import as_points, complete_point, points_of
from llm2vec_gen_rag.qdrant.indexing import scroll
from llm2vec_gen_rag.qdrant.lent_ids import in_callers_ids, in_stored_ids, selects_nothing
from llm2vec_gen_rag.qdrant.point_ids import other_points, stored_ids

# Each would leave a text beside another's vector, or one framework's half beside another's.
_PARTIAL_WRITES = {
    *("set_payload", "overwrite_payload", "delete_payload", "clear_payload"),
    *("update_vectors", "delete_vectors", "delete_vector_name"),
}
_DOORS_TO_THE_SERVER = {"http", "grpc_points", "grpc_collections"}


class LentClient:
    """A `QdrantClient` that writes whole points to one collection, for both frameworks.

    It replaces the client that it wraps, attribute by attribute. For its collection:

    - Points get both halves of the payload and a sparse vector, so what one framework's own store
      adds, the other reads at once. What would write part of a point is refused.
    - An id may be any string. What it was written with comes back, finds it and deletes it.
    - An empty list of ids is nothing to delete.
    """

    def __init__(self, client: QdrantClient, collection_name: str) -> None:
        self._lender = client
        self._collection_name = collection_name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        if name in _DOORS_TO_THE_SERVER:
            raise _refused(name)
        attribute = getattr(self._lender, name)
        return self._in_callers_terms(name, attribute) if callable(attribute) else attribute

    def upsert(self, collection_name: str, points: Any, **options: Any) -> Any:
        """Call `QdrantClient.upsert` with complete points."""
        if self._is_ours(collection_name):
            points = [complete_point(point) for point in as_points(points)]
            options = in_stored_ids(options)
        return self._lender.upsert(collection_name, points, **options)

    def upload_points(self, collection_name: str, points: Iterable[Any], **options: Any) -> None:
        """Call `QdrantClient.upload_points` with complete points."""
        if self._is_ours(collection_name):
            points = map(complete_point, as_points(points))
            options = in_stored_ids(options)
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
        if not self._is_ours(collection_name):
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
        if self._is_ours(collection_name):
            whole = [_whole(operation) for operation in operations]
            operations = [operation for operation in whole if operation is not None]
            if not operations:
                return []
        return self._lender.batch_update_points(collection_name, operations, **options)

    def delete(self, collection_name: str, points_selector: Any, **options: Any) -> Any:
        """Call `QdrantClient.delete`; an empty list is nothing to delete."""
        if self._is_ours(collection_name):
            if selects_nothing(points_selector):
                return models.UpdateResult(status=models.UpdateStatus.COMPLETED)
            points_selector = in_stored_ids(_as_selector(points_selector))
        return self._lender.delete(collection_name, points_selector, **options)

    def retrieve(self, collection_name: str, ids: Iterable[Any], **options: Any) -> Any:
        """Call `QdrantClient.retrieve` with ids of any kind."""
        if not self._is_ours(collection_name):
            return self._lender.retrieve(collection_name, list(ids), **options)
        asked = list(ids)
        stored = [point for given in asked for point in stored_ids(given)]
        records = self._lender.retrieve(collection_name, stored, **options)
        if names := [given for given in asked if isinstance(given, str)]:
            found = models.HasIdCondition(has_id=stored)
            others = models.Filter(must=[other_points(names)], must_not=[found])
            records += scroll(self._lender, collection_name, others, **options)
        return in_callers_ids(records)

    def _in_callers_terms(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def in_callers_terms(*args: Any, **kwargs: Any) -> Any:
            if not self._is_ours(kwargs.get("collection_name", args[0] if args else None)):
                return call(*args, **kwargs)
            if name in _PARTIAL_WRITES:
                raise _refused(name)
            return in_callers_ids(call(*in_stored_ids(args), **in_stored_ids(kwargs)))

        return in_callers_terms

    def _is_ours(self, collection_name: object) -> bool:
        if collection_name == self._collection_name or not isinstance(collection_name, str):
            return collection_name == self._collection_name
        aliases = self._lender.get_collection_aliases(self._collection_name).aliases
        return any(alias.alias_name == collection_name for alias in aliases)


def lender_of(client: QdrantClient | LentClient) -> QdrantClient:
    """Return the client behind a lent one; any other as it is."""
    return client._lender if isinstance(client, LentClient) else client


def _whole(operation: Any) -> Any:
    """Return the operation on complete points; None if it does nothing."""
    if isinstance(operation, models.UpsertOperation):
        upsert = operation.upsert
        batch = upsert.batch if isinstance(upsert, models.PointsBatch) else upsert.points
        points = [complete_point(point) for point in as_points(batch)]
        where = in_stored_ids(upsert.update_filter)
        rest = upsert.model_dump(exclude={"batch", "points", "update_filter"}, exclude_none=True)
        whole = models.PointsList(points=points, update_filter=where, **rest)
        return models.UpsertOperation(upsert=whole)
    if isinstance(operation, models.DeleteOperation):
        selector = operation.delete
        return None if selects_nothing(selector) else in_stored_ids(operation)
    raise _refused(f"batch_update_points with {type(operation).__name__}")


def _as_selector(selector: Any) -> Any:
    return models.PointIdsList(points=selector) if isinstance(selector, list) else selector


def _refused(name: str) -> CollectionError:
    return CollectionError(
        f"{name} could leave a point of this collection incomplete: a text beside the vector of "
        "another, or what only one framework can read. Index the document again, upsert the whole "
        "point, or use a QdrantClient of your own and call adopt() afterwards."
    )
