"""What a search asks of metadata, as Qdrant's filters: the names are keys, not paths."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from numbers import Integral, Real
from typing import Any, TypeAlias

from qdrant_client import models

from llm2vec_gen_rag.qdrant.points.payload import METADATA_KEY

Scalar: TypeAlias = str | int | float | bool | date | None
Value: TypeAlias = Scalar | Collection[Scalar] | models.Range | models.DatetimeRange
Where: TypeAlias = models.Filter | Mapping[str, Value]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXACT = 2**53  # integers below it are the same as floats, which is what Qdrant's ranges compare
_LARGEST = 2**63 - 1


def to_filter(where: Where | None) -> models.Filter | None:
    """Return the filter that passes documents whose metadata has each of the values.

    Args:
        where: A mapping of the metadata's names to values, or a filter, which is returned as it is.

    Returns:
        The filter; None if there is nothing to ask.

    Raises:
        ValueError: A name or a value is none that Qdrant can look for.
    """
    if where is None or isinstance(where, models.Filter):
        return where
    if not isinstance(where, Mapping):
        raise ValueError(
            f"filter is a {type(where).__name__}; expected a mapping such as {{'lang': 'en'}}, or "
            "a qdrant_client.models.Filter."
        )
    return models.Filter(must=[_condition(name, value) for name, value in where.items()])


def metadata_path(name: str) -> str:
    """Return Qdrant's path to a name of the metadata, quoted where the path has a syntax.

    Args:
        name: A top-level name of the metadata.

    Returns:
        The path.

    Raises:
        ValueError: The name cannot be written in a path.
    """
    if not isinstance(name, str):
        raise ValueError(f"filter has the name {name!r}, a {type(name).__name__}; expected a str.")
    _check_encodable(name, name)
    if _PLAIN_KEY.fullmatch(name):
        return f"{METADATA_KEY}.{name}"
    if '"' in name or "\\" in name:
        raise ValueError(
            f"filter {name!r} has a double quote or a backslash in its name, which no path of "
            "Qdrant's can hold; expected a name without. Index the documents under another name."
        )
    return f'{METADATA_KEY}."{name}"'


def _condition(name: str, value: object) -> models.Condition:
    path = metadata_path(name)
    if isinstance(value, models.Range | models.DatetimeRange):
        return models.FieldCondition(key=path, range=value)
    if isinstance(value, list | tuple | set | frozenset):
        return _any_of(name, path, list(value))
    return _equals(name, path, value)


def _any_of(name: str, path: str, values: list[Any]) -> models.Condition:
    if all(isinstance(value, str) for value in values):  # or none: nothing is one of no values
        for value in values:
            _check_encodable(name, value)
        return models.FieldCondition(
            key=path, match=models.MatchAny(any=[str.__str__(v) for v in values])
        )
    return models.Filter(should=[_equals(name, path, value) for value in values])


def _equals(name: str, path: str, value: object) -> models.Condition:
    if value is None:
        return models.IsNullCondition(is_null=models.PayloadField(key=path))
    if isinstance(value, str):
        _check_encodable(name, value)
        return models.FieldCondition(key=path, match=models.MatchValue(value=str.__str__(value)))
    if isinstance(value, bool):
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))
    if isinstance(value, date):
        return models.FieldCondition(key=path, range=_time(value))
    if isinstance(value, Integral) and abs(int(value)) <= _LARGEST:
        return _equals_integer(path, int(value))
    if isinstance(value, Real) and math.isfinite(value) and not isinstance(value, Integral):
        number = float(value)
        return models.FieldCondition(key=path, range=models.Range(gte=number, lte=number))
    raise ValueError(
        f"filter {name!r} is {value!r}; expected a string, a finite number of at most 64 bits, a "
        "boolean, None, a date, a list of these (any of them), or qdrant_client.models.Range or "
        "DatetimeRange. For anything else pass a qdrant_client.models.Filter on "
        f"{METADATA_KEY!r}."
    )


def _equals_integer(path: str, value: int) -> models.Condition:
    """Match the number, written 2 or 2.0: JSON has one kind of number, Qdrant's matches two."""
    if abs(value) < _EXACT:
        return models.FieldCondition(key=path, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=path, match=models.MatchValue(value=value))


def _time(value: date) -> models.DatetimeRange:
    """Return the instant of a date and time, or the whole of a day."""
    if isinstance(value, datetime):
        return models.DatetimeRange(gte=value, lte=value)
    return models.DatetimeRange(
        gte=datetime.combine(value, time.min), lte=datetime.combine(value, time.max)
    )


def _check_encodable(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"filter {name!r} holds a lone surrogate at position {error.start}, which no document "
            "can hold; expected text that UTF-8 can encode."
        ) from error
