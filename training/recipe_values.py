"""The values in a recipe: read as YAML means them, and each checked by itself."""

from __future__ import annotations

import math
from typing import Any

ZERO_ALLOWED = frozenset(
    {
        "warmup_steps",
        "schedule_steps",
        "lora_rank",
        "lora_dropout",
        "reconstruction_weight",
        "alignment_weight",
        "weight_decay",
        "max_gradient_norm",
        "seed",
        "least_squares_rows",
    }
)


def as_float(value: Any, default: Any) -> Any:
    """Read what YAML 1.1 takes for text or an integer where a float is meant: `3e-4`, `1`."""
    if not isinstance(default, float) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def check_text(name: str, value: Any) -> None:
    """Raise ValueError unless the value is a text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; expected a text")


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless the value is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; expected true or false")


def check_number(name: str, value: Any, default: Any) -> None:
    """Raise ValueError unless the value is a number of the default's kind and in range."""
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {value!r}; expected {kind}, such as {default}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in ZERO_ALLOWED):
        bound = "at least 0" if name in ZERO_ALLOWED else "above 0"
        raise ValueError(f"{name} is {value}; expected a finite number {bound}")
