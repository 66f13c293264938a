"""Callers' ids in what they ask of Qdrant, and in what it answers."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel
from qdrant_client import models
from qdrant_client.http.models import QueryResponse  # models has another of this name

from llm2vec_gen_rag.qdrant.payload import read_stamp, stamp_of
from llm2vec_gen_rag.qdrant.point_ids import having_ids

Anything = TypeVar("Anything")

_ASKED = (
    *(models.Filter, models.MinShould, models.Nested, models.NestedCondition),
    *(models.FilterSelector, models.DeleteOperation, models.Prefetch, models.QueryRequest),
)
_ANSWERED = (QueryResponse, models.GroupsResult, models.PointGroup)


def in_stored_ids(asked: Anything) -> Anything:
    """Return what is asked with every caller's id in it as the ids that it may be stored under.

    Args:
        asked: Arguments of a client's method: filters, selectors and requests, or lists of them.

    Returns:
        A copy where it holds an id; all else as it is.
    """
    return _in_stored_ids(asked)  # type: ignore[no-any-return]


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


def selects_nothing(selector: Any) -> bool:
    """Return whether a selector names no point: an empty list, or a filter that is nothing else."""
    if isinstance(selector, models.PointIdsList):
        return not selector.points
    if isinstance(selector, models.FilterSelector):
        return selects_nothing(selector.filter)
    if isinstance(selector, models.Filter):
        # Qdrant passes everything through a filter of empty lists. LlamaIndex sends one when it
        # was given nothing to delete.
        clauses = [getattr(selector, name) for name in type(selector).model_fields]
        return [] in clauses and not any(clauses)
    return isinstance(selector, list) and not selector


def _in_stored_ids(asked: Any) -> Any:
    if isinstance(asked, models.HasIdCondition):
        return having_ids(asked.has_id)
    if isinstance(asked, models.PointIdsList):
        return models.FilterSelector(filter=having_ids(asked.points), shard_key=asked.shard_key)
    if isinstance(asked, dict):
        return {name: _in_stored_ids(value) for name, value in asked.items()}
    if isinstance(asked, list | tuple):
        return type(asked)(map(_in_stored_ids, asked))
    return _copied(asked, _in_stored_ids) if isinstance(asked, _ASKED) else asked


def _in_callers_ids(answer: Any) -> Any:
    if isinstance(answer, models.Record | models.ScoredPoint):
        payload = answer.payload or {}
        stamp = stamp_of(payload)
        if "id" not in stamp or read_stamp(payload) is not None:
            return answer
        return answer.model_copy(update={"id": stamp["id"]})
    if isinstance(answer, list | tuple):
        return type(answer)(map(_in_callers_ids, answer))
    return _copied(answer, _in_callers_ids) if isinstance(answer, _ANSWERED) else answer


def _copied(model: BaseModel, change: Any) -> BaseModel:
    changed = {name: change(getattr(model, name)) for name in type(model).model_fields}
    return model.model_copy(update=changed)
