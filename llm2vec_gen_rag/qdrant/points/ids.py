"""Any string as the id of a point. Qdrant's own ids are unsigned integers and UUIDs.

A document's id, LangChain's and LlamaIndex's are strings such as ``notes.md#3`` or a digest in
hex. A string that is no UUID becomes the point id that `Document` derives from it, so the same id
is the same point for all three, and the string itself is kept in the payload.

What a store writes under a UUID goes to that point in any spelling, as in Qdrant: LangChain makes
ids of 32 digits and gets points of the usual spelling. A point has the spelling it was last given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from uuid import UUID

from qdrant_client import models

from llm2vec_gen_rag.qdrant.documents import Document, derived_point_id
from llm2vec_gen_rag.qdrant.json_values import require_text
from llm2vec_gen_rag.qdrant.points.payload import ID_KEY, PARENT_KEY

PointId: TypeAlias = int | str | UUID  # what a caller may give

_LARGEST = 2**64 - 1


def point_id(given: PointId) -> int | str:
    """Return the id under which Qdrant stores what a caller writes under the given one.

    Args:
        given: An integer, a UUID in any of its spellings, or any other string.

    Returns:
        The integer; the UUID in its usual spelling; or the UUID derived from the string.

    Raises:
        ValueError: It is none of these, is an integer that Qdrant has no id for, or holds a lone
            surrogate.
    """
    if isinstance(given, int):
        if isinstance(given, bool) or not 0 <= given <= _LARGEST:
            raise ValueError(
                f"the id is {given!r}; expected a string, a UUID or an integer from 0 to "
                f"{_LARGEST}. Pass it as a string: {str(given)!r}."
            )
        return given
    if isinstance(given, UUID):
        return str(given)
    require_text("the id", given)
    derived = Document(text="", id=given).point_id
    return as_uuid(given) or derived


def require_one_spelling(given: PointId, spellings: dict[str, str]) -> None:
    """Raise ValueError if the same call gives another spelling of a UUID.

    Qdrant equates them, so of two documents the call would keep one, and return both ids.

    Args:
        given: An id of the call, one that `point_id` takes.
        spellings: Those that the call gave before, by UUID; this one is added.

    Raises:
        ValueError: The call gave this UUID before, spelled otherwise.
    """
    uuid = None if isinstance(given, int) else as_uuid(str(given))
    if uuid is None:
        return
    first = spellings.setdefault(uuid, str(given))
    if first != str(given):
        raise ValueError(
            f"the ids {first!r} and {str(given)!r} are two spellings of one UUID, under which "
            "Qdrant keeps one point; expected one spelling of each. To keep two documents, give "
            f"one of them another id, such as {'doc-' + str(given)!r}."
        )


def stored_ids(given: PointId) -> list[int | str | UUID]:
    """Return every id under which a point may be stored whose hit has the given id.

    Args:
        given: A hit's id, or what a store was given.

    Returns:
        The document's point; the framework's own, an integer written as one, or a UUID; and what
        a store has beside either.

    Raises:
        ValueError: It is none that `point_id` takes.
    """
    ids = _plain_ids(given) if isinstance(given, str) else [point_id(given)]
    return [*ids, *map(stores_point_id, ids)]


def stores_point_id(stored: int | str) -> str:
    """Return the point that a store writes instead of this one, which a source holds."""
    return derived_point_id(f"store:{stored}")


def with_hit_ids(given: Iterable[PointId]) -> models.Filter:
    """Return the filter of every point whose hit has one of the given ids.

    A point whose payload names another id is none of them, though Qdrant stores it under this one.

    Args:
        given: Hits' ids, or what a store was given.

    Returns:
        What passes those of the `stored_ids` that have no id but Qdrant's or name a given one, and
        the points of a second source that name one.

    Raises:
        ValueError: One of them is none that `point_id` takes.
    """
    ids = list(given)
    points = [point for each in ids for point in stored_ids(each)]
    own_names: list[models.Condition] = [
        models.IsEmptyCondition(is_empty=models.PayloadField(key=ID_KEY)),
        models.FieldCondition(key=ID_KEY, match=models.MatchAny(any=[str(each) for each in ids])),
    ]
    where: list[models.Condition] = [
        models.Filter(must=[models.HasIdCondition(has_id=points), models.Filter(should=own_names)])
    ]
    if names := [str(each) for each in ids if not isinstance(each, int)]:
        where.append(_elsewhere(names))
    return models.Filter(should=where)


def as_uuid(text: str) -> str | None:
    """Return a UUID in its usual spelling; None for any other string."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _elsewhere(ids: list[str]) -> models.Filter:
    """Return the filter of the points whose payload names one of these ids.

    Two sources with one id may have a point each, of which only one is derived from the id alone.
    """
    # the id is in the stamp, and under the frameworks' name, which has an index
    named: list[models.Condition] = [
        models.FieldCondition(key=key, match=models.MatchAny(any=ids))
        for key in (PARENT_KEY, ID_KEY)
    ]
    return models.Filter(must=named)


def _plain_ids(given: str) -> list[int | str]:
    ids: list[int | str] = [Document(text="", id=given).point_id]
    if given.isdecimal() and given == str(int(given)) and int(given) <= _LARGEST:
        ids.append(int(given))
    if (uuid := as_uuid(given)) is not None:
        ids.append(uuid)
    return ids
