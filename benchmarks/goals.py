"""What is to be reached, and the tables that say whether it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table of goals.

    Attributes:
        label: what is measured.
        source: the name of the results file.
        path: where its spread is, within.
        goal: what it has to reach.
        at_least: whether more is better.
        limit: what the arithmetic allows.
        judged: which of minimum, median and maximum has to reach the goal.
    """

    label: str
    source: str
    path: tuple[str, ...]
    goal: float
    at_least: bool
    limit: str
    judged: str = "median"


ROWS = (
    Row(
        "documents per second, times the reference's sorted batches",
        "encode.0.6b",
        ("documents", "ratio_to_sorted"),
        1.4,
        True,
        "1.9",
    ),
    Row(
        "documents per second, times the reference's one call",
        "encode.0.6b",
        ("documents", "ratio_to_one_call"),
        2.5,
        True,
        "",
    ),
    Row(
        "queries per second behind one instruction, times the reference's sorted batches",
        "encode.0.6b",
        ("queries", "ratio_to_sorted"),
        1.8,
        True,
        "about 2",
    ),
    Row(
        "share of the rate of plain matrix products, documents",
        "encode.0.6b",
        ("documents", "share_of_matrix_rate", "ours"),
        0.8,
        True,
        "1",
    ),
    Row(
        "peak memory of load, encode and decode, of the reference's",
        "memory.0.6b",
        ("memory_ratio",),
        0.55,
        False,
        "0.5",
    ),
    Row(
        "time to load from a warm disk, of the reference's",
        "memory.0.6b",
        ("load_ratio",),
        0.7,
        False,
        "",
    ),
    Row(
        "256 tokens decoded, times the reference's speed",
        "decode.0.6b",
        ("ratio",),
        5,
        True,
        "weights / memory bandwidth",
    ),
    Row(
        "one query, times the speed of HyDE, 64 tokens written by `generate` of transformers",
        "hyde.0.6b",
        ("ratio_of_hyde_by_generate",),
        30,
        True,
        "",
    ),
    Row(
        "one query, times the speed of HyDE, 64 tokens written by this package",
        "hyde.0.6b",
        ("ratio_of_hyde",),
        30,
        True,
        "",
    ),
)

SCALE_ROWS = (
    Row(
        "time for ten times as many documents",
        "scale.almanac",
        ("seconds_of_ten_times_as_many",),
        11,
        False,
        "10",
    ),
    Row(
        "peak memory for ten times as many documents",
        "scale.almanac",
        ("peak_of_ten_times_as_many",),
        1.3,
        False,
        "1",
    ),
    Row(
        "one process a core, share of as many times one process",
        "processes.almanac",
        ("share_of_ideal",),
        0.9,
        True,
        "1",
    ),
)

INT8_ROWS = (
    Row(
        "cosine to the vectors of the default dtype, documents",
        "int8.0.6b",
        ("documents", "cosine"),
        0.99,
        True,
        "1",
        judged="minimum",
    ),
    Row(
        "cosine to the vectors of the default dtype, queries",
        "int8.0.6b",
        ("queries", "cosine"),
        0.99,
        True,
        "1",
        judged="minimum",
    ),
    Row(
        "bundled model: cosine, documents and questions",
        "int8.0.6b",
        ("bundled_model", "cosine"),
        0.99,
        True,
        "1",
        judged="minimum",
    ),
    Row(
        "bundled model: share of nDCG@10 lost, by kind of question",
        "int8.0.6b",
        ("bundled_model", "ndcg_loss"),
        0.005,
        False,
        "0",
        judged="maximum",
    ),
)

WITHOUT, AS_PUBLISHED = "without_checkpointing", "as_published"
TRAINING_ROWS = tuple(
    Row(f"`{shape}`: {label}", f"training.{shape}", (way, figure), goal, figure == "ratio", limit)
    for shape, limits in (("0.6b", ("1.5", "2.0")), ("12x512", ("1.4", "1.8")))
    for label, way, figure, goal, limit in (
        (
            "steps per second, times the reference's as published",
            AS_PUBLISHED,
            "ratio",
            2,
            limits[1],
        ),
        ("the same, without gradient checkpointing", WITHOUT, "ratio", 2, limits[0]),
        ("peak memory, of the reference's as published", AS_PUBLISHED, "memory_ratio", 0.6, ""),
        ("the same, without gradient checkpointing", WITHOUT, "memory_ratio", 0.6, ""),
    )
)


def goals(title: str, rows: Sequence[Row], results: dict[str, Figures]) -> str:
    """Return the table of what was to be reached and what was."""
    lines = [
        f"| {title} | goal | lowest | median | highest | the limit | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = f"{'≥' if row.at_least else '≤'} {row.goal:g}"
        figures = results.get(row.source)
        if figures is None:
            program, _, shape = row.source.partition(".")
            missing = f"not yet measured: `python -m benchmarks.{program} --shape {shape}`"
            lines.append(f"| {row.label} | {goal} | {missing} | | | {row.limit} | |")
            continue
        measured = _find(figures, row.path)
        low, middle, high = (measured[name] for name in ("minimum", "median", "maximum"))
        judged = measured[row.judged]
        reached = judged >= row.goal if row.at_least else judged <= row.goal
        lines.append(
            f"| {row.label} | {goal} | {low:.3g} | **{middle:.3g}** | {high:.3g} | {row.limit} "
            f"| {'yes' if reached else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def _find(figures: Figures, path: tuple[str, ...]) -> Figures:
    for name in path:
        figures = figures[name]
    return figures
