"""Filters that restrict nothing: through one of them, everything would be deleted.

Qdrant passes every point through a filter of empty lists, at any depth. Frameworks and programs
build such filters when they were given nothing to look for.
"""

from __future__ import annotations

from typing import Any

from qdrant_client import models


def selects_nothing(selector: Any) -> bool:
    """Return whether a selector names no point: an empty list, or a filter of nothing but such.

    Args:
        selector: What `QdrantClient.delete` takes.

    Returns:
        Whether there is nothing to delete. `Filter()` itself is Qdrant's way to say "everything".

    Raises:
        ValueError: It is a filter of conditions through which every point passes all the same.
    """
    if isinstance(selector, models.PointIdsList):
        return not selector.points
    if isinstance(selector, models.FilterSelector):
        return selects_nothing(selector.filter)
    if not isinstance(selector, models.Filter) or selector == models.Filter():
        return False
    if not _has_conditions(selector):
        return True
    if _passes(selector) is True:
        raise ValueError(
            f"points_selector is {selector.model_dump(exclude_none=True)!r:.200}, through which "
            "every point passes, as a filter or list in it is empty; expected one that restricts "
            "what is deleted. Leave what is empty out, or pass Filter() to delete everything."
        )
    return False


def _has_conditions(condition: Any) -> bool:
    """Return whether anything but filters is in a filter, at any depth."""
    if not isinstance(condition, models.Filter):
        return True
    given = [condition.must, condition.should, condition.must_not, condition.min_should]
    return any(_has_conditions(each) for clause in given for each in _listed(clause))


def _passes(condition: Any) -> bool | None:
    """Return whether every point passes, or none does; None if that depends on the points."""
    if not isinstance(condition, models.Filter):
        return _passes_empty_list(condition)
    should = [_passes(each) for each in _listed(condition.should)]
    clauses = [_passes(each) for each in _listed(condition.must)]
    clauses += [_opposite(_passes(each)) for each in _listed(condition.must_not)]
    clauses += [_at_least(1, should)] if should else []
    if condition.min_should is not None:
        several = [_passes(each) for each in condition.min_should.conditions]
        clauses.append(_at_least(condition.min_should.min_count, several))
    if False in clauses:
        return False
    return None if None in clauses else True


def _passes_empty_list(condition: Any) -> bool | None:
    """Return the same of a condition that is no filter: none has one of no ids or values."""
    match = getattr(condition, "match", None)
    if isinstance(match, models.MatchExcept) and not match.except_:
        return True  # whatever has a value there
    is_of_none = isinstance(match, models.MatchAny) and not match.any
    is_of_none = is_of_none or (
        isinstance(condition, models.HasIdCondition) and not condition.has_id
    )
    return False if is_of_none else None


def _opposite(passes: bool | None) -> bool | None:
    return None if passes is None else not passes


def _at_least(number: int, passes: list[bool | None]) -> bool | None:
    if passes.count(True) >= number:
        return True
    return None if passes.count(True) + passes.count(None) >= number else False


def _listed(clause: Any) -> list[Any]:
    """Return the conditions of a clause, which Qdrant takes as a list, alone, or not at all."""
    if isinstance(clause, models.MinShould):
        return list(clause.conditions)
    if clause is None:
        return []
    return clause if isinstance(clause, list) else [clause]
