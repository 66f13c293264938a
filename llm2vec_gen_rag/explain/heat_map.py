"""Findings as one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.explain.findings import Findings, LikelyToken, ScoreSplit
from llm2vec_gen_rag.explain.visible import one_line, percent, times, word

require_extra("explain", "matplotlib")
from matplotlib.figure import Figure  # noqa: E402

_WORDS = 2  # of a response token, beside its row or column
_LETTERS = 14  # of a token
_LINE = 120  # characters of the title's lines

Tokens = Sequence[Sequence[LikelyToken]]


def draw(found: Findings) -> Figure:
    """Draw the split of the score; without a document, the tokens of the query.

    Args:
        found: what was found.

    Returns:
        The figure.
    """
    title = _title(found)
    rows = len(found.query.tokens)
    figure = Figure(figsize=(10, 1.9 + 0.36 * rows + 0.17 * len(title)), layout="constrained")
    # a text may hold "$", which is no formula
    figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=9, parse_math=False)
    panel = figure.subplots()
    if found.document is None or found.split is None:
        _draw_tokens(panel, found.query.tokens)
    else:
        _draw_split(panel, found.split, found.query.tokens, found.document.tokens)
        panel.set_title(
            f"cosine {found.cosine:.4f}, the sum of all cells; a label ends in its own sum",
            fontsize=10,
        )
    return figure


def _title(found: Findings) -> list[str]:
    """The texts and what their embeddings say, in lines."""
    said = [("query", found.query.text), ("its embedding says", found.query.says)]
    if found.document is not None:
        said += [("document", found.document.text), ("its embedding says", found.document.says)]
    return [
        line
        for label, text in said
        for line in textwrap.wrap(
            f"{label}: {one_line(text)}", _LINE, max_lines=2, placeholder=" …"
        )
    ]


def _draw_split(panel: Any, split: ScoreSplit, query: Tokens, document: Tokens) -> None:
    """Draw the shares of the cosine, and their sums behind each row and below each column."""
    cells = np.array(split.cells)
    largest = float(np.abs(cells).max()) or 1.0
    _draw_cells(panel, cells, [[f"{cell:.3f}" for cell in row] for row in cells], "RdBu", largest)
    rows, columns = split.by_query_token, split.by_document_token
    _label(panel.set_yticks, _with_sums(query, rows))
    _label(
        panel.set_xticks, _with_sums(document, columns),
        rotation=35, ha="right", rotation_mode="anchor",
    )  # fmt: skip
    panel.set_ylabel("response tokens of the query")
    panel.set_xlabel("response tokens of the document")


def _draw_tokens(panel: Any, tokens: Tokens) -> None:
    """Draw the tokens of each response token, coloured by their probability."""
    # the root tells small probabilities apart
    cells = np.array([[token.probability**0.5 for token in likely] for likely in tokens])
    texts = [
        [f"{_shortened(word(t))}\n{percent(t.probability)} {times(t.lift)}" for t in likely]
        for likely in tokens
    ]
    _draw_cells(panel, cells, texts, "RdBu", 1.0)
    _label(panel.set_yticks, [str(place) for place in range(1, len(tokens) + 1)])
    panel.set_xticks([])
    panel.set_ylabel("response token")
    panel.set_title(
        "the likeliest next tokens that the text makes likelier: "
        "probability, and its multiple of that without the text",
        fontsize=10,
    )


def _draw_cells(
    panel: Any, cells: Any, texts: Sequence[Sequence[str]], colours: str, largest: float
) -> None:
    """Draw numbers as colours, from -`largest` to `largest`, each with its text."""
    panel.imshow(cells, cmap=colours, vmin=-largest, vmax=largest, aspect="auto")
    for place, text in np.ndenumerate(np.array(texts)):
        shade = "white" if abs(cells[place]) > 0.6 * largest else "black"
        panel.text(
            place[1], place[0], text,
            ha="center", va="center", color=shade, fontsize=8, parse_math=False,
        )  # fmt: skip


def _label(set_ticks: Any, labels: Sequence[str], **style: Any) -> None:
    """Write a label beside each row or column."""
    set_ticks(range(len(labels)), labels, fontsize=8, parse_math=False, **style)


def _with_sums(tokens: Tokens, sums: Sequence[float]) -> list[str]:
    """Return a label for each response token: its place, its first words, its sum."""
    labelled = enumerate(zip(tokens, sums, strict=True), start=1)
    return [f"{place}  {_words(likely)}  {total:.3f}" for place, (likely, total) in labelled]


def _words(likely: Sequence[LikelyToken]) -> str:
    """The first tokens of one response token."""
    return ", ".join(_shortened(word(token)) for token in likely[:_WORDS])


def _shortened(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
