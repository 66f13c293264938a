"""Findings as HTML for a notebook: inline styles alone, as notebooks drop style sheets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llm2vec_gen_rag.explain.findings import Findings, LikelyToken, Reading, ScoreSplit
from llm2vec_gen_rag.explain.visible import percent, times, word

# colours over any background, dark or light: blue adds to the score, orange takes from it
_ADDS, _TAKES = "66, 133, 244", "230, 120, 30"
_CELL = "padding: 2px 8px; text-align: left; white-space: nowrap;"
_NUMBER = "padding: 2px 8px; text-align: right; font-variant-numeric: tabular-nums;"


def as_html(found: Findings) -> str:
    """Format findings as HTML.

    Args:
        found: what was found.

    Returns:
        One element, in which every text is escaped.
    """
    parts = [_reading("Query", found.query, [("the LLM answers", found.answer)])]
    if found.document is not None:
        parts.append(_reading("Document", found.document, []))
    if found.split is not None:
        parts.append(_split(found, found.split))
    return f'<div style="max-width: 60em; line-height: 1.4;">{"".join(parts)}</div>'


def _reading(label: str, reading: Reading, more: Sequence[tuple[str, str]]) -> str:
    """A text, what its embedding says, and a table of its tokens."""
    said = [*more, ("its embedding says", reading.says)]
    rows = "".join(_token_row(place, likely) for place, likely in enumerate(reading.tokens, 1))
    return (
        f"<p><b>{label}</b>: {_text(reading.text)}"
        + "".join(f"<br><i>{name}</i>: {_text(text)}" for name, text in said)
        + "</p><details open><summary>After each response token, the likeliest next tokens that "
        "the text makes likelier, with their probability, and as a multiple of that without the "
        f'text</summary><table style="border-collapse: collapse;">{rows}</table></details>'
    )


def _token_row(place: int, likely: Sequence[LikelyToken]) -> str:
    """The tokens of one response token, the likelier the darker."""
    cells = "".join(
        f'<td style="{_CELL} background: rgba({_ADDS}, {_shade(token.probability)});">'
        f"<b>{_text(word(token))}</b> {escape(percent(token.probability))} "
        f'<span style="opacity: 0.7;">{escape(times(token.lift))}</span></td>'
        for token in likely
    )
    return f'<tr><th style="{_NUMBER}">{place}</th>{cells}</tr>'


def _shade(probability: float) -> str:
    """Return an opacity that tells small probabilities apart."""
    return f"{0.75 * probability**0.5:.3f}"


def _split(found: Findings, split: ScoreSplit) -> str:
    """The cosine, and a heat map of its shares with their sums."""
    searched = "" if found.search_score is None else f" (the search gave {found.search_score:.4f})"
    largest = max(abs(cell) for row in split.cells for cell in row) or 1.0
    heads = "".join(f'<th style="{_NUMBER}">{j}</th>' for j in range(1, len(split.cells) + 1))
    rows = "".join(
        f'<tr><th style="{_NUMBER}">{i}</th>'
        + "".join(_share(cell, largest) for cell in row)
        + f'<th style="{_NUMBER}">{total:.3f}</th></tr>'
        for i, (row, total) in enumerate(zip(split.cells, split.by_query_token, strict=True), 1)
    )
    sums = "".join(f'<th style="{_NUMBER}">{share:.3f}</th>' for share in split.by_document_token)
    return (
        f"<p><b>Cosine of the two embeddings: {found.cosine:.4f}</b>{searched}<br>split over the "
        "response tokens: a row for each of the query's, a column for each of the document's</p>"
        f'<table style="border-collapse: collapse;"><tr><th></th>{heads}'
        f'<th style="{_NUMBER}">query</th></tr>{rows}'
        f'<tr><th style="{_NUMBER}">document</th>{sums}'
        f'<th style="{_NUMBER}">{found.cosine:.3f}</th></tr></table>'
    )


def _share(cell: float, largest: float) -> str:
    """One share of the score, coloured by its sign and size."""
    colour = _ADDS if cell >= 0 else _TAKES
    shade = f"{0.75 * abs(cell) / largest:.3f}"
    return f'<td style="{_NUMBER} background: rgba({colour}, {shade});">{cell:.3f}</td>'


def _text(text: str) -> str:
    """A text, escaped, its lines kept, written in its own direction."""
    return f'<bdi style="white-space: pre-wrap;">{escape(text)}</bdi>'
