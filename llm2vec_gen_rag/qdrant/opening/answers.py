"""Whether a server's answer fits the question in number; its form is checked by qdrant-client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from inspect import signature
from typing import Any


def mismatch(call: Callable[..., Any], args: Any, kwargs: Any, answer: Any) -> str | None:
    """Return in which number an answer does not fit its question.

    Args:
        call: A method of a server's client.
        args: Its positional arguments.
        kwargs: Its named ones.
        answer: What it returned.

    Returns:
        What is wrong; None if nothing is.
    """
    check = _CHECKS.get(call.__name__)
    if check is None:
        return None
    bound = signature(call).bind(*args, **kwargs)
    bound.apply_defaults()
    return check(bound.arguments, answer)


def _batch(asked: Mapping[str, Any], answers: Any) -> str | None:
    requests = list(asked["requests"])
    if len(answers) != len(requests):
        return f"{len(answers)} answers to {len(requests)} queries"
    pairs = zip(requests, answers, strict=True)
    wrong = (_at_most(getattr(r, "limit", None), a.points, "points") for r, a in pairs)
    return next(filter(None, wrong), None)


def _operations(asked: Mapping[str, Any], results: Any) -> str | None:
    operations = list(asked["update_operations"])
    if len(results) != len(operations):
        return f"{len(results)} answers to {len(operations)} operations"
    return None


def _query(asked: Mapping[str, Any], answer: Any) -> str | None:
    return _at_most(asked["limit"], answer.points, "points")


def _groups(asked: Mapping[str, Any], answer: Any) -> str | None:
    wrong = (_at_most(asked["group_size"], g.hits, "points of a group") for g in answer.groups)
    return _at_most(asked["limit"], answer.groups, "groups") or next(filter(None, wrong), None)


def _facet(asked: Mapping[str, Any], answer: Any) -> str | None:
    negative = (f"a count of {hit.count}" for hit in answer.hits if hit.count < 0)
    return _at_most(asked["limit"], answer.hits, "values") or next(negative, None)


def _count(asked: Mapping[str, Any], answer: Any) -> str | None:
    return f"a count of {answer.count}" if answer.count < 0 else None


def _retrieved(asked: Mapping[str, Any], records: Any) -> str | None:
    return _at_most(len(list(asked["ids"])), records, "points")


def _page(asked: Mapping[str, Any], answer: Any) -> str | None:
    records, following = answer
    if following is not None and (not records or following == asked["offset"]):
        return f"a page that does not lead on: the next one would begin at {following!r} again"
    return _at_most(asked["limit"], records, "points")


def _at_most(limit: int | None, found: Sized, what: str) -> str | None:
    if limit is None or len(found) <= limit:
        return None
    return f"{len(found)} {what}, and at most {limit} were asked for"


_CHECKS: dict[str, Callable[[Mapping[str, Any], Any], str | None]] = {
    "batch_update_points": _operations,
    "count": _count,
    "facet": _facet,
    "query_batch_points": _batch,
    "query_points": _query,
    "query_points_groups": _groups,
    "retrieve": _retrieved,
    "scroll": _page,
}
