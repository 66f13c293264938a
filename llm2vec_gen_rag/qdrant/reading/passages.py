"""A text cut into passages, as an embedding stands for one idea.

It is first cut into blocks: at blank lines, before Markdown headings, and around fenced code, which
is one block whatever is in it. A block that is too long is cut behind a sentence, a list item or a
row of a table; else behind a line, else at a space. Then neighbours are joined again while they
fit. A heading begins a passage, with the headings right above it. Where a section or a block has to
be cut, its parts are of about the same length, so that no scrap is left over at the end. A passage
is an unchanged piece of the text. The time this takes grows with the text's length.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

PASSAGE_CHARACTERS = 1000  # some 250 tokens of English, half of what a model reads

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADING = re.compile(r"#{1,6} ")
# CommonMark's, at any depth: a fence in a list is indented
_FENCE = re.compile(r"[ \t]*(?P<marks>`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)
_WORD = re.compile(r"\S")
# ends of the first part of a block that is too long, best first: behind a sentence and what closes
# it, or before a list item or a row of a table; at a line's end; at white space. "12." is the
# number of an item
_ENDS = (
    re.compile(
        r"""(?<!\s\d)(?<!\s\d\d)(?<!\s\d\d\d)[.!?…]["'”’)\]*_`]*(?=\s)|[。！？]"""
        r"""|(?=\n[ \t]*(?:\||[*+-] |\d+[.)] ))"""
    ),
    re.compile(r"(?=\n)"),
    re.compile(r"(?=\s)"),
)


@dataclass(frozen=True)
class _Block:
    """A piece of a text that is cut only if it is too long, and whether it begins a passage."""

    start: int
    end: int
    begins_passage: bool = False


def passages(text: str, most: int = PASSAGE_CHARACTERS) -> list[str]:
    """Cut a text into passages of at most `most` characters; the module says where."""
    return [
        text[start:end]
        for section in _sections(text, most)
        for start, end in _joined(section, most)
    ]


def _sections(text: str, most: int) -> Iterator[list[_Block]]:
    """Yield the parts between one that begins a passage and the next one."""
    section: list[_Block] = []
    for block in _blocks(text):
        if section and block.begins_passage:
            yield section
            section = []
        section.extend(_parts(text, block, most))
    if section:
        yield section


def _joined(section: list[_Block], most: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of passages, each as near to an equal share as the parts allow."""
    first, last = section[0].start, section[-1].end
    share = (last - first) / math.ceil((last - first) / most)
    start, goal = first, first + share
    for part, following in itertools.pairwise(section):
        is_nearer = abs(part.end - goal) <= abs(following.end - goal)
        if is_nearer or following.end - start > most:
            yield start, part.end
            start, goal = following.start, goal + share
    yield start, last


def _blocks(text: str) -> Iterator[_Block]:
    """Yield paragraphs and fenced code, each with the headings right above it."""
    block: _Block | None = None
    only_headings = False
    for start, end, kind in _pieces(text):
        if block and kind != "text" and not only_headings:
            yield block
            block = None
        if kind == "blank":
            continue
        if block is None:
            block, only_headings = _Block(start, end, kind == "heading"), True
        block = replace(block, end=end)
        only_headings = only_headings and kind == "heading"
        if kind == "code":
            yield block
            block = None
    if block:
        yield block


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of each line, and of fenced code as a whole."""
    lines = _LINE.finditer(text)
    for line in lines:
        start, end = line.span()
        if fence := _FENCE.match(text, start, end):
            yield start, _fence_end(text, fence["marks"], lines), "code"
        elif _HEADING.match(text, start, end):
            yield start, end, "heading"
        else:
            yield start, end, "text" if _WORD.search(text, start, end) else "blank"


def _fence_end(text: str, opened_by: str, lines: Iterator[re.Match[str]]) -> int:
    """Read up to the line that closes the fence, or to the text's end; return where that is."""
    for line in lines:
        marks = line.group().strip(" \t\r\n")
        if len(marks) >= len(opened_by) and not marks.strip(opened_by[0]):
            return line.end()
    return len(text)


def _parts(text: str, block: _Block, most: int) -> Iterator[_Block]:
    """Yield a block, or parts of about the same length where it is too long."""
    start, begins = block.start, block.begins_passage
    end = start + len(text[start : block.end].rstrip())
    while word := _WORD.search(text, start, end):
        start = word.start()
        part_end = end if end - start <= most else _end_of_part(text, start, end, most)
        yield _Block(start, part_end, begins)
        start, begins = part_end, False


def _end_of_part(text: str, start: int, end: int, most: int) -> int:
    """Return where the first part of an overlong piece ends: near an equal share of it."""
    share = (end - start) / math.ceil((end - start) / most)
    found: list[int] = []
    for ends in _ENDS:
        # one more character, so that what follows the last place is seen
        matches = ends.finditer(text, start + 1, start + most + 1)
        found = [match.end() for match in matches if match.end() <= start + most]
        if near := [place for place in found if place >= start + share / 2]:
            return min(near, key=lambda place: abs(place - start - share))
    # one long word: from the last white space before it, if there is any
    return found[-1] if found else start + math.ceil(share)
