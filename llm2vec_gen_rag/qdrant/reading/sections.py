"""Sections of a text: pieces with a heading, a page or a row in common, cut into passages each.

A section is an unchanged piece of the text, except for rows of a table, which are written out as
``name: value``. What is above the first heading is a section without one.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
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
_NO_DELIMITER = "\x1f"  # of a table of one column; ASCII's own separator of cells
_READ = 10_000  # characters, to find the delimiter


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
        text: the table, whose delimiter is a comma, a semicolon, a tabulator or a bar. Where none
            of them divides the lines, it has one column.

    Returns:
        The rows, numbered from 1: a line ``name: value`` for each cell that is not empty. A table
        of one row is that row.

    Raises:
        csv.Error: a cell is longer than Python's limit.
    """
    rows = _rows(text, _delimiter(text))
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


def _rows(text: str, delimiter: str) -> list[list[str]]:
    table = StringIO(text, newline="")
    return list(csv.reader(table, delimiter=delimiter, skipinitialspace=True))


def _delimiter(text: str) -> str:
    """Return the delimiter by which most rows have equally many cells; of equals, most cells."""
    beginning = text[:_READ]
    if len(text) > _READ and "\n" in beginning:
        beginning = beginning[: beginning.rindex("\n")]  # the rest of the last line is not read
    shapes = {mark: _table_shape(_rows(beginning, mark)) for mark in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda mark: shapes[mark])
    return best if any(shapes[best]) else _NO_DELIMITER


def _table_shape(rows: list[list[str]]) -> tuple[int, int]:
    """Return how many rows have how many cells, as most have; (0, 0) if this is no table.

    From its first row of several cells on, half of a table's rows have several, and at least two
    have; or it is a single row.
    """
    cells = [len(row) for row in rows if row]
    first = next((place for place, count in enumerate(cells) if count > 1), len(cells))
    several = [count for count in cells[first:] if count > 1]
    is_table = len(cells) == 1 or (len(several) > 1 and 2 * len(several) >= len(cells[first:]))
    if not (several and is_table):
        return 0, 0
    count, times = Counter(several).most_common(1)[0]
    return times, count


def _written_out(names: list[str], row: list[str]) -> str:
    lines = []
    for place, value in enumerate(row):
        name = names[place].strip() if place < len(names) else ""
        if value.strip():
            lines.append(f"{name}: {value}" if name else value)
    return "\n".join(lines)
