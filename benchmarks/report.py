"""Write docs/performance.md from the figures in benchmarks/results.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.goals import INT8_ROWS, ROWS, SCALE_ROWS, TRAINING_ROWS, Figures, goals

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"

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


def _spreads(figures: Figures, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Figures]]:
    """Return every spread below, and the names that lead to it."""
    if set(figures) == {"minimum", "median", "maximum"}:
        return [(path, figures)]
    below = [(name, value) for name, value in figures.items() if isinstance(value, dict)]
    return [found for name, value in below for found in _spreads(value, (*path, name))]


if __name__ == "__main__":
    main()
