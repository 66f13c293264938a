"""Rows of a JSON Lines file, checked for the fields that a measurement reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import read_json_lines


def read_rows(path: Path, *fields: str) -> list[dict[str, Any]]:
    """Return the rows of a file, in its order; blank lines are skipped.

    Args:
        path: one JSON object a line, UTF-8.
        *fields: what each object must have, as strings.

    Returns:
        At least one row, with all its fields.

    Raises:
        ValueError: if there is no such file, no row in it, or a line is not as described.
    """
    wanted = ", ".join(f'"{field}"' for field in fields)
    if not path.is_file():
        raise ValueError(f"there is no {path}; expected one JSON object a line with {wanted}.")
    rows = [row for _, row in read_json_lines(path, *fields)]
    if not rows:
        raise ValueError(f"{path} is empty; expected one JSON object a line with {wanted}.")
    return rows
