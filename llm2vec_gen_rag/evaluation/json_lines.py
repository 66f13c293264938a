"""Rows of a JSON Lines file, checked for the fields that a measurement reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_rows(path: Path, *fields: str) -> list[dict[str, Any]]:
    """Return the rows of a file, in its order; empty lines are passed over.

    Args:
        path: one JSON object a line, UTF-8.
        fields: what each object must have, as text.

    Raises:
        ValueError: if there is no such file, no row in it, or a line is not as described; the line
            is named.
    """
    wanted = ", ".join(f'"{field}"' for field in fields)
    if not path.is_file():
        raise ValueError(f"there is no {path}; expected one JSON object a line with {wanted}.")
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                rows.append(_parse(line, f"{path}, line {number}", fields))
    if not rows:
        raise ValueError(f"{path} is empty; expected one JSON object a line with {wanted}.")
    return rows


def _parse(line: bytes, place: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON ({error}); expected one object a line.") from error
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {row!r:.80}; expected a JSON object.")
    for field in fields:
        if not isinstance(row.get(field), str):
            raise ValueError(
                f'{place} has {row.get(field)!r:.80} for "{field}"; expected a text. Mend the line.'
            )
    return row
