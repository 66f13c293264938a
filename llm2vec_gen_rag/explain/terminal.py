"""Findings as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from llm2vec_gen_rag.explain.findings import Findings, LikelyToken, Reading, ScoreSplit
from llm2vec_gen_rag.explain.visible import one_line, percent, times

_NEXT = "after each response token, the likeliest next tokens that the text makes likelier,"
_NUMBERS = "with their probability, and as a multiple of that without the text:"


def as_lines(found: Findings, width: int) -> list[str]:
    """Format findings for a person.

    Args:
        found: what was found.
        width: columns to fill, at least 60.

    Returns:
        Lines of at most `width` characters.
    """
    lines = _reading_lines("query", found.query, width)
    lines[2:2] = _labelled("the LLM answers", found.answer, width)
    if found.document is not None:
        lines += ["", *_reading_lines("document", found.document, width)]
    if found.cosine is not None:
        lines += ["", f"cosine of the two embeddings: {found.cosine:.4f}"]
    if found.search_score is not None:
        lines.append(f"score that the search gave:   {found.search_score:.4f}")
    if found.split is not None:
        lines += ["", *_split_lines(found.split, width)]
    return lines


def _reading_lines(label: str, reading: Reading, width: int) -> list[str]:
    """The text, what its embedding says, and the tokens."""
    return [
        textwrap.shorten(f"{label}: {one_line(reading.text)}", width, placeholder=" ..."),
        *_labelled("its embedding says", reading.says, width),
        *textwrap.wrap(f"{_NEXT} {_NUMBERS}", width, initial_indent="  ", subsequent_indent="  "),
        *(_token_line(place, likely, width) for place, likely in enumerate(reading.tokens, 1)),
    ]


def _labelled(label: str, text: str, width: int) -> list[str]:
    """A label, and a text wrapped to the right of it."""
    first = f"  {label:<20}"
    indent = " " * len(first)
    lines = textwrap.wrap(one_line(text), width - len(first), max_lines=4, placeholder=" ...")
    return [f"{indent if row else first}{line}" for row, line in enumerate(lines or ["(nothing)"])]


def _token_line(place: int, likely: Sequence[LikelyToken], width: int) -> str:
    """As many tokens of one response token as fit, each quoted so that its spaces show."""
    line = f"  {place:>4}"
    for token in likely:
        shown = f"  {token.text!r} {percent(token.probability)} {times(token.lift)}"
        if len(line) + len(shown) > width:
            break
        line += shown
    return line


def _split_lines(split: ScoreSplit, width: int) -> list[str]:
    """What each response token contributes, of the query and of the document."""
    lines = textwrap.wrap(
        "share of each response token in the cosine: each column adds up to it", width
    )
    lines.append("          query   document")
    shares = zip(split.by_query_token, split.by_document_token, strict=True)
    lines += [f"  {place:>4} {a:>8.4f}   {b:>8.4f}" for place, (a, b) in enumerate(shares, 1)]
    return lines
