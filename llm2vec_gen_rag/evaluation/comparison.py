"""Measured figures beside the paper's, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One figure, in percent.

    Attributes:
        name: what was measured.
        measured: the figure measured here.
        paper: the paper's figure for this model; None if it has none.
        teacher: the paper's figure for the model's teacher; None if it has none.
    """

    name: str
    measured: float
    paper: float | None = None
    teacher: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Figures of one benchmark.

    Attributes:
        benchmark: its name, and the unit of the figures.
        lines: the figures.
        notes: what to know before comparing them.
    """

    benchmark: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def as_text(self) -> str:
        """Return the figures as a Markdown table, followed by the notes."""
        rows = [
            "| " + " | ".join([line.name, *map(_cell, _figures(line))]) + " |"
            for line in self.lines
        ]
        heading = f"| {self.benchmark} | measured | paper | paper: its teacher |"
        return "\n".join([heading, "|---|---|---|---|", *rows, *_paragraphs(self.notes)])


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def _figures(line: Line) -> tuple[float | None, ...]:
    return (line.measured, line.paper, line.teacher)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _paragraphs(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in ("", note)]
