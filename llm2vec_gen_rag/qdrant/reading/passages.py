"""A text cut into passages, as an embedding stands for one idea.

It is first cut into blocks: at blank lines, before Markdown headings, and around fenced code, which
is one block whatever is in it. Then neighbours are joined again while they fit. A heading begins a
passage, with the headings right above it, and a block that is too long is cut at spaces. A passage
is an unchanged piece of the text. The time this takes grows with the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

PASSAGE_CHARACTERS = 1000  # some 250 tokens of English, half of what a model reads

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADING = re.compile(r"#{1,6} ")
# CommonMark's, at any depth: a fence in a list is indented
_FENCE = re.compile(r"[ \t]*(?P<marks>`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)
_WORD = re.compile(r"\S")


@dataclass(frozen=True)
class _Block:
    """A piece of a text that is cut only if it is too long, and whether it begins a passage."""

    start: int
    end: int
    begins_passage: bool = False


def passages(text: str, most: int = PASSAGE_CHARACTERS) -> list[str]:
    """Cut a text into passages of at most `most` characters; the module says where."""
    cut: list[str] = []
    start = end = 0
    for block in _blocks(text):
        for part in _parts(text, block, most):
            begins_anew = part.begins_passage or part.end - start > most
            if begins_anew and end:
                cut.append(text[start:end])
            if begins_anew or not end:
                start = part.start
            end = part.end
    return [*cut, text[start:end]] if end else cut


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
    """Yield a block, or parts of it that are cut at the last space that fits, if there is any."""
    start, begins = block.start, block.begins_passage
    end = start + len(text[start : block.end].rstrip())
    while word := _WORD.search(text, start, end):
        start, part_end = word.start(), end
        if end - start > most:
            space = max(text.rfind(char, start + 1, start + most + 1) for char in " \n\t")
            part_end = space if space > 0 else start + most
        yield _Block(start, part_end, begins)
        start, begins = part_end, False
