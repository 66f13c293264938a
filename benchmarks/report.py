"""Write docs/performance.md from the figures in benchmarks/results.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PROGRAMS = ("encode", "decode", "memory", "hyde", "scale")

Figures = dict[str, Any]

HEAD = """\
# Performance

Written by `python -m benchmarks.report` from the figures in `benchmarks/results`. `make bench`
measures them anew, draws the plots and writes this page; `make bench TEXTS=<folder>` embeds the
texts of a folder in the BEIR layout in place of invented ones of the same lengths.

The reference is the package `llm2vec-gen` 0.1.3 on transformers 4.56.2, in an environment and a
process of its own, timed in turn with ours on the same random-weight checkpoint. "Sorted" is its
best arrangement: batches sorted by length, of the size that is fastest here. "One call" is what its
README shows: one `encode` of the list. The shape `0.6b` has 28 layers, 1,024 hidden, 16 heads and 8
key heads of 128, a vocabulary of 32,000 and bfloat16 weights; `almanac` is the bundled model's.
`int8` is ours with `dtype="int8"` beside ours without. A ratio is taken within a round, and each
table gives the lowest, the middle and the highest.
"""

TRAINING = """\
## Training

One step: forward, both losses, backward, gradient clipping, AdamW, on 4 pairs of a question of 64
tokens and an answer of 256, random weights in bfloat16. The reference's step is its
`EncoderDecoderModel.__call__` with a second LM to decode and a teacher of the backbone's size
beside it; ours reads the vectors that this teacher gave. "As published" is the reference with
gradient checkpointing, as its configuration has it; ours needs none to be smaller. `12x512` has 12
layers, 512 hidden, 8 heads and 4 key heads of 64, and the same vocabulary. The limit is what the
multiply-adds of both steps come to at one and the same rate.
"""

GPU = """\
## On a GPU

Documents per second, query latency, decoding and training on a GPU are **not yet measured**.
"""


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


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_results(RESULTS)), encoding="utf-8")


def read_results(folder: Path) -> dict[str, Figures]:
    """Return the figures of every file of results, by its name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def page(results: dict[str, Figures]) -> str:
    """Return the text of the page."""
    training = {name: results[name] for name in results if name.startswith("training.")}
    parts = [HEAD, machine_line(results), goals("shape `0.6b`, CPU", ROWS, results)]
    parts += [goals("scale, shape `almanac`, CPU", SCALE_ROWS, results)]
    parts += [goals("8 bits, shape `0.6b` and bundled model, CPU", INT8_ROWS, results)]
    parts += [section(name, results[name]) for name in results if name not in training]
    parts += [TRAINING, goals("a training step, CPU", TRAINING_ROWS, results)]
    parts += [section(name, figures) for name, figures in training.items()]
    reading = RESULTS / "reading.md"  # what a person made of the figures
    if reading.is_file():
        parts.insert(5, reading.read_text(encoding="utf-8"))
    return "\n".join(part for part in [*parts, GPU] if part)


def machine_line(results: dict[str, Figures]) -> str:
    """Return on what the figures were measured."""
    lines = {json.dumps(figures["machine"]): figures["machine"] for figures in results.values()}
    return "\n".join(
        f"Measured on {m['processor']}, {m['threads']} threads, torch {m['torch']}, "
        f"{'with' if m['native_bfloat16'] else 'without'} native bfloat16.\n"
        for m in lines.values()
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


def section(name: str, figures: Figures) -> str:
    """Return every spread in a file of results, with the command that measured it."""
    lines = [
        f"## {name.replace('.', ', ', 1)}",
        "",
        f"`{figures['program']}`, {figures['rounds']} rounds.",
        "",
    ]
    plot = PAGE.parent / "plots" / f"{name}.png"
    if plot.is_file():
        lines += [f"![{name}](plots/{plot.name})", ""]
    lines += ["| | lowest | median | highest |", "|---|---|---|---|"]
    for path, spread in _spreads(figures, ()):
        numbers = " | ".join(f"{spread[key]:.4g}" for key in ("minimum", "median", "maximum"))
        lines.append(f"| {', '.join(path).replace('_', ' ')} | {numbers} |")
    return "\n".join(lines) + "\n"


def _find(figures: Figures, path: tuple[str, ...]) -> Figures:
    for name in path:
        figures = figures[name]
    return figures


def _spreads(figures: Figures, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Figures]]:
    """Return every spread below, and the names that lead to it."""
    if set(figures) == {"minimum", "median", "maximum"}:
        return [(path, figures)]
    below = [(name, value) for name, value in figures.items() if isinstance(value, dict)]
    return [found for name, value in below for found in _spreads(value, (*path, name))]


if __name__ == "__main__":
    main()
