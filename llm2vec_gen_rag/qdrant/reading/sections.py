"""Sections of a text: pieces with a heading, a page or a row in common, cut into passages each.

A section is an unchanged piece of the text, except for rows of a table, which are written out as
``name: value``. What is above the first heading is a section without one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

_MARKDOWN_HEADING = re.compile(r"#{1,6} +(?P<title>.*\S)")
_EMPHASIS = re.compile(r"(\*{1,3}|`+)(?=\S)(.+?)(?<=\S)\1")  # or code
_LINE = re.compile(r"^.*$", re.MULTILINE)
# docutils': a line, and one below it of one punctuation mark, as long or longer; also above it
_RST_HEADING = re.compile(
    r"^(?:(?P<over>[=\-~^\"'`#*+.:_])(?P=over){2,}[ \t]*\n)?[ \t]*(?P<title>\S.*?)[ \t]*\r?\n"
    r"(?P<under>(?P<mark>[=\-~^\"'`#*+.:_])(?P=mark){2,})[ \t]*\r?$",
    re.MULTILINE,
)
_DELIMITERS = ",;\t|"  # the first is the most usual
_QUOTED = re.compile(r'"[^"]*"')
_NAMES_WITHIN = 10_000  # characters


@dataclass(frozen=True)
class Section:
    """A piece of a file's text.

    Attributes:
        text: the piece.
        metadata: where it is in the file, such as ``{"page": 3}``.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


def markdown_sections(text: str, title: str | None = None) -> list[Section]:
    """Return the sections of Markdown, by its headings; those in fenced code are none.

    Args:
        text: Markdown with ATX headings.
        title: the heading of what is above the first one; None for no heading.

    Returns:
        The sections, in order.
    """
    return _cut(text, _markdown_headings(text), title)


def rst_sections(text: str) -> list[Section]:
    """Return the sections of reStructuredText, by its titles."""
    titles = (
        (found.start(), found.end(), found["title"])
        for found in _RST_HEADING.finditer(text)
        if len(found["under"]) >= len(found["title"])
    )
    return _cut(text, titles, None)


def csv_sections(text: str) -> list[Section]:
    """Return a section for each row of a table below the one that has the columns' names.

    That is the first row of more than one cell, or the first of all. Lines above it are notes on
    the table, and a section without a row.

    Args:
        text: the table, whose delimiter is a comma, a semicolon, a tabulator or a bar.

    Returns:
        The rows, numbered from 1: a line ``name: value`` for each cell that is not empty. A table
        of one row is that row.

    Raises:
        csv.Error: a cell is longer than Python's limit.
    """
    table = StringIO(text, newline="")
    rows = list(csv.reader(table, delimiter=_delimiter(text), skipinitialspace=True))
    first = next((place for place, row in enumerate(rows) if len(row) > 1), 0)
    notes, table_rows = rows[:first], rows[first:]
    names, below = (table_rows[0], table_rows[1:]) if len(table_rows) > 1 else ([], table_rows)
    sections = [Section("\n".join(_written_out([], row) for row in notes))] + [
        Section(_written_out(names, row), {"row": n}) for n, row in enumerate(below, start=1)
    ]
    return [section for section in sections if section.text.strip()]


def _cut(text: str, headings: Iterable[tuple[int, int, str]], title: str | None) -> list[Section]:
    """Cut a text before headings, given by start, end and title, unless nothing is above them."""
    sections: list[Section] = []
    start = body = 0
    for begin, end, name in headings:
        if text[body:begin].strip():
            sections.append(_titled(text[start:begin], title))
            start = begin
        title, body = name, end
    return [*sections, _titled(text[start:], title)]


def _titled(text: str, title: str | None) -> Section:
    return Section(text, {} if title is None else {"heading": " ".join(title.split())})


def _markdown_headings(text: str) -> Iterator[tuple[int, int, str]]:
    is_code = False
    for line in _LINE.finditer(text):
        is_code ^= line.group().lstrip().startswith("```")
        heading = _MARKDOWN_HEADING.match(text, line.start(), line.end())
        if heading and not is_code:
            yield line.start(), line.end(), _EMPHASIS.sub(r"\2", heading["title"])


def _delimiter(text: str) -> str:
    """Return the delimiter that the first line with any has most of, outside quotes, or a comma."""
    for line in _QUOTED.sub("", text[:_NAMES_WITHIN]).split("\n"):
        if any(mark in line for mark in _DELIMITERS):
            return max(_DELIMITERS, key=line.count)
    return _DELIMITERS[0]


def _written_out(names: list[str], row: list[str]) -> str:
    lines = []
    for place, value in enumerate(row):
        name = names[place].strip() if place < len(names) else ""
        if value.strip():
            lines.append(f"{name}: {value}" if name else value)
    return "\n".join(lines)
