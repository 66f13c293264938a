"""Results on standard output: for people as wide as the terminal, for machines as JSON."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import Any

NARROWEST, WIDEST = 60, 100  # longer lines are hard to read


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print one JSON document, in ASCII, so that no encoding can spoil it.

    Args:
        value: what to print.
        indent: spaces a level; None prints one line.
    """
    print(json.dumps(finite(value), indent=indent))


def finite(value: Any) -> Any:
    """Return the value with None for NaN and infinity, which JSON has no number for."""
    return json.loads(json.dumps(value), parse_constant=lambda constant: None)


def width() -> int:
    """Return the columns to fill: the terminal's, from 60 to 100; 80 without a terminal."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def strong(text: str) -> str:
    """Return the text in bold if the output is a terminal, else unchanged."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def quoted(name: object) -> str:
    """Return a file's name as it is, or quoted if printing it could do more than show it."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def printable(text: str) -> str:
    """Return the text with escapes for whatever a terminal would obey rather than show."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return the text with its lines as they are, and each of them `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def one_line(text: str) -> str:
    """Return the text on one line, with spaces for control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def paragraph(text: str, *, indent: str = "", first: str | None = None, lines: int = 0) -> str:
    """Return the text wrapped to the terminal's width.

    Args:
        text: the text.
        indent: put before every line.
        first: put before the first line instead of `indent`.
        lines: the most lines to show; 0 shows all.

    Returns:
        The lines, joined.
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
