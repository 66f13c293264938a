"""What a payload can hold: text that UTF-8 can write, and values that are JSON as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

MOST_LEVELS = 64  # of metadata: a Qdrant server reads 128 of a request, and Python copies some 300


def require_text(what: str, value: object) -> None:
    """Raise ValueError unless the value is a string that UTF-8 can write.

    Args:
        what: The value's name, for the error.
        value: The value.

    Raises:
        ValueError: It is no string, or holds a lone surrogate.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what} is a {type(value).__name__}; expected a str.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{what} holds a lone surrogate at position {error.start}, "
            "which neither JSON nor the frameworks' documents can carry; decode the file with its "
            "own encoding, or with errors='replace'."
        ) from error


def require_json(what: str, value: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Raise ValueError unless the value is JSON, and comes back from it as it was.

    Args:
        what: The value's name, for the error.
        value: The value.
        default: Makes JSON of other objects, such as dates; None refuses them.

    Raises:
        ValueError: It is nested too deep, has a name that is no string, a number that is not
            finite, a lone surrogate, or an object that is not JSON.
    """
    if _is_deeper(value, MOST_LEVELS):
        raise ValueError(
            f"{what} is nested more than {MOST_LEVELS} levels deep; expected fewer, as no Qdrant "
            "server reads more. Flatten it first."
        )
    try:
        _check_names(value)
        json.dumps(value, default=default, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{what} is not JSON ({error}); expected a mapping of "
            "names to strings, finite numbers, booleans, None, lists and mappings of these."
        ) from error


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether mappings and lists are nested more levels deep than this."""
    layer = [value]
    while layer and levels >= 0:
        containers = {id(v): v for v in layer if isinstance(v, Mapping | list | tuple)}
        values = (v.values() if isinstance(v, Mapping) else v for v in containers.values())
        layer = [inner for each in values for inner in each]
        levels -= 1
    return bool(layer)


def _check_names(value: object) -> None:
    """Raise TypeError for a name that is no string, which JSON would silently make one."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the name {name!r} is a {type(name).__name__}, not a str")
            _check_names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_names(inner)
