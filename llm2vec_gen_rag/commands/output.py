"""Results on standard output: for people as wide as the terminal, for machines as JSON."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import Any

NARROWEST, WIDEST = 60, 100  # longer lines are hard to read


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that no encoding can spoil it."""
    print(json.dumps(value, indent=2))


def width() -> int:
    """Columns to fill: the terminal's, within reason; 80 where there is no terminal."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def strong(text: str) -> str:
    """The text in bold on a terminal, as it is elsewhere."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def one_line(text: str) -> str:
    """The text on one line, with spaces for the characters that would drive the terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def paragraph(text: str, *, indent: str = "", first: str | None = None, lines: int = 0) -> str:
    """The text wrapped to the terminal.

    Args:
        text: the text.
        indent: before every line.
        first: before the first line in its place.
        lines: the most lines to show; 0 shows all.
    """
    return "\n".join(
        textwrap.wrap(
            one_line(text),
            width(),
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            max_lines=lines or None,
            placeholder=" ...",
        )
    )
