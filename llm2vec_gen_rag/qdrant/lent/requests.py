"""What callers ask of Qdrant, with their ids in it as the ids that points are stored under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message  # type: ignore[import-untyped]
from pydantic import BaseModel
from qdrant_client import models

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.qdrant.call_arguments import as_ids, require_filter
from llm2vec_gen_rag.qdrant.lent.ids import CallersIds

Anything = TypeVar("Anything")

# Where Qdrant takes a vector, or the id of the point that has it.
_VECTORS = {"query", "nearest", "positive", "negative", "target", "example"}
_FILTERS = {
    *("filter", "query_filter", "scroll_filter", "count_filter", "facet_filter", "update_filter"),
}


def named_arguments(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by their names.

    Args:
        call: A client's method.
        args: Its positional arguments.
        kwargs: Its named ones.

    Returns:
        All of them.
    """
    arguments: dict[str, Any] = dict(signature(call).bind(*args, **kwargs).arguments)
    options: dict[str, Any] = arguments.pop("kwargs", {})
    return arguments | options


def in_stored_ids(asked: Anything, ids: CallersIds) -> Anything:
    """Return what is asked with every caller's id in it as that of the point.

    Args:
        asked: Named arguments of a client's method, or one: a filter, a selector, requests.
        ids: Finds the points.

    Returns:
        A copy where it holds an id; all else as it is.

    Raises:
        ValueError: An id is none that a point can have, or a limit is below 1.
        CollectionError: No point has the id of a point to start from, or several have.
    """
    return _translated(asked, ids)  # type: ignore[no-any-return]


def as_selector(selector: Any) -> Any:
    """Return a list of ids as a selector, and a selector as it is.

    Args:
        selector: What `QdrantClient.delete` takes.

    Returns:
        The selector.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(selector, models.PointIdsList | models.FilterSelector | models.Filter):
        return selector
    if isinstance(selector, list | tuple | set | frozenset):
        return models.PointIdsList(points=as_ids("points_selector", selector))
    raise ValueError(
        f"points_selector is {selector!r:.80}; expected a list of ids or a "
        "qdrant_client.models.Filter. An empty Filter() selects every point."
    )


def _translated(asked: Any, ids: CallersIds, points_are_here: bool = True) -> Any:
    if isinstance(asked, models.HasIdCondition):
        return ids.passing(asked.has_id)
    if isinstance(asked, models.PointIdsList):
        return models.FilterSelector(filter=ids.passing(asked.points), shard_key=asked.shard_key)
    if isinstance(asked, Message):
        raise ValueError(
            f"got a {type(asked).__name__} of gRPC, in which ids cannot be found; expected one of "
            "qdrant_client.models."
        )
    if isinstance(asked, dict):
        return _fields(asked, ids, points_are_here)
    if isinstance(asked, list | tuple) and not _is_vector(asked):
        return type(asked)(_translated(each, ids, points_are_here) for each in asked)
    if isinstance(asked, BaseModel):
        fields = {name: getattr(asked, name) for name in type(asked).model_fields}
        return asked.model_copy(update=_fields(fields, ids, points_are_here))
    return asked


def _fields(fields: Mapping[str, Any], ids: CallersIds, points_are_here: bool) -> dict[str, Any]:
    """Return fields of a request, or arguments of a call, translated each."""
    if fields.get("limit") is not None:
        require_positive("limit", fields["limit"])
    for name in _FILTERS & fields.keys():
        require_filter(name, fields[name])
    elsewhere = fields.get("lookup_from")  # a collection that has the points to start from
    if "lookup_from" in fields:
        named = getattr(elsewhere, "collection", None)
        points_are_here = named is None or ids.are_of(named)
    return {
        name: _point_or_vector(value, ids, points_are_here)
        if name in _VECTORS
        else _translated(value, ids, points_are_here)
        for name, value in fields.items()
    }


def _point_or_vector(value: Any, ids: CallersIds, points_are_here: bool) -> Any:
    if isinstance(value, list) and not _is_vector(value):
        return [_point_or_vector(each, ids, points_are_here) for each in value]
    if isinstance(value, int | str | UUID):
        return ids.point(value) if points_are_here else value
    return _translated(value, ids, points_are_here)


def _is_vector(value: list[Any] | tuple[Any, ...]) -> bool:
    return all(isinstance(each, int | float) for each in value)
