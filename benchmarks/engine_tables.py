"""What `benchmarks.peers` measured, as tables: ours and each other engine, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.goals import Results

PROGRAM = "peers"
OURS = "ours"
HEADER = [
    "engine", "documents a second", "ours, times it", "queries a second", "ours, times it",
    "lowest cosine to ours", "tokens written a second", "ours, times it",
]  # fmt: skip
PARTS = {
    "documents": "texts_per_second",
    "queries": "texts_per_second",
    "decoding": "tokens_per_second",
}


@dataclass(frozen=True)
class EngineTable:
    """What one run measured.

    Attributes:
        title: the shape, the dtype, the processor and how many texts there are.
        rows: as `HEADER` names the cells; one for each engine.
        left_out: what was not measured, and why.
    """

    title: str
    rows: list[list[str]]
    left_out: str


def engine_tables(measured: Mapping[str, Results]) -> Iterator[EngineTable]:
    """Yield a table for each shape on each processor."""
    for processor, results in measured.items():
        for name, figures in results.items():
            program, _, shape = name.partition(".")
            if program == PROGRAM:
                yield EngineTable(
                    f"Shape `{shape}` in {figures['dtype']} on `{processor}`, {_texts(figures)}",
                    [_row(engine, figures) for engine in _engines(figures)],
                    "; ".join(f"{way} ({why})" for way, why in figures["left_out"].items()),
                )


def _engines(figures: Mapping[str, Any]) -> list[str]:
    """Return the engines of any part, in the order in which they were measured."""
    return list(dict.fromkeys(way for part in PARTS for way in figures[part][PARTS[part]]))


def _texts(figures: Mapping[str, Any]) -> str:
    """Return how many texts there are; of documents, few."""
    counts = (f"{figures[part]['count']} {part}" for part in ("documents", "queries"))
    return " and ".join(counts)


def _row(engine: str, figures: Mapping[str, Any]) -> list[str]:
    cells = {part: _speeds(engine, figures[part], unit) for part, unit in PARTS.items()}
    cosines = [
        figures[part]["same_vectors"][engine]
        for part in ("documents", "queries")
        if engine in figures[part]["same_vectors"]
    ]
    cosine = f"{min(cosines):.4f}" if cosines else "" if engine == OURS else "other vectors"
    return [engine, *cells["documents"], *cells["queries"], cosine, *cells["decoding"]]


def _speeds(engine: str, part: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """Return how many an engine does in a second, and ours relative to it; both are medians."""
    if engine not in part[unit]:
        return "", ""
    speed = f"{part[unit][engine]['median']:.3g}"
    return speed, "" if engine == OURS else f"{part['ratio_to'][engine]['median']:.2f}"
