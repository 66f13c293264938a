"""The file of figures: one part beside the other, each with what it was measured with."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.provenance import Record

logger = logging.getLogger(__name__)
PROVENANCE = "provenance"
_NUMBERS = re.compile(r"\[\n([-+\d.e,\s]+)\]")


def read_figures(file: Path) -> dict[str, Any]:
    """Return the figures of a file; none where there is no file yet."""
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return figures


def keep(
    output: Path, part: str, measured: Callable[[], Any], record: Record | None = None
) -> None:
    """Put one part into the output's JSON, beside the others that it has.

    Args:
        output: the file.
        part: its name.
        measured: returns its figures.
        record: what it is measured with; None for figures that have that among them.
    """
    logger.info("measuring: %s", part)
    found = measured()
    figures = read_figures(output)  # read behind the measurement, in which others may have written
    figures[part] = found
    if record is not None:
        figures.setdefault(PROVENANCE, {})[part] = record
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(as_json(figures), encoding="utf-8")


def as_json(figures: Any) -> str:
    """Return JSON, indented but for lists of numbers, each of which is one line."""
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    # no string has a line break in JSON, so nothing in one is changed
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"
