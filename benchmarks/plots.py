"""Draw the figures in benchmarks/results as docs/plots/*/*.png; also has the plots of the evidence.

python -m benchmarks.plots
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import RESULTS
from benchmarks.goals import Figures
from benchmarks.processor import Machine
from benchmarks.report import read_results

PLOTS = Path(__file__).parent.parent / "docs" / "plots"
# one colour for one thing, in every plot
OURS, OURS_OTHERWISE = "#1b6ca8", "#9cc3df"
REFERENCE, ONE_CALL = "#c8553d", "#e6ae90"
HYDE = "#e3a857"
BM25, TEACHER = "#c9c9c9", "#8f8f8f"
DECODED = "#2e4057"
LABELS = {
    "ours": ("ours", OURS),
    "sorted": ("reference, sorted batches", REFERENCE),
    "one_call": ("reference, one call", ONE_CALL),
    "reference": ("reference", REFERENCE),
    "generate": ("generate() of transformers", HYDE),
    "hyde": ("HyDE, 64 tokens, written by this package", HYDE),
    "hyde_by_generate": ("HyDE, 64 tokens, written by generate()", HYDE),
    "one": ("one process", OURS_OTHERWISE),
    "several": ("one process per core", OURS),
    "int8": ("in 8 bits", OURS),
    "default": ("in the default dtype", OURS_OTHERWISE),
    "alone": ("the model alone", OURS),
    "langchain": ("in LangChain", OURS_OTHERWISE),
    "llama_index": ("in LlamaIndex", OURS_OTHERWISE),
    "two_models": ("with a second model that answers", REFERENCE),
}
# by program, the title of each panel and where its figures are
PANELS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "encode": [
        ("documents per second", ("documents", "texts_per_second")),
        ("queries per second", ("queries", "texts_per_second")),
    ],
    "decode": [("seconds for 256 tokens", ("seconds",))],
    "memory": [("peak memory, MiB", ("peak_mib",)), ("seconds to load", ("load_seconds",))],
    "rag_memory": [("peak memory, MiB", ("peak_mib",)), ("imports alone, MiB", ("imports_mib",))],
    "hyde": [("seconds for one query", ("seconds",))],
    "processes": [("documents per second", ("texts_per_second",))],
    "int8": [
        ("documents per second", ("documents", "texts_per_second")),
        ("queries per second", ("queries", "texts_per_second")),
        ("resident memory, MiB", ("resident_mib",)),
    ],
    "training": [
        ("steps per second, reference as published", ("as_published", "steps_per_second")),
        ("peak memory, MiB", ("as_published", "peak_mib")),
    ],
}


def main() -> None:
    """Draw every file of results whose program has panels, and that of scale."""
    for processor, results in read_results(RESULTS).items():
        folder = PLOTS / processor
        folder.mkdir(parents=True, exist_ok=True)
        for name, figures in results.items():
            program = name.partition(".")[0]
            if program == "scale":
                draw_scale(figures).savefig(folder / f"{name}.png", dpi=150)
            elif program in PANELS:
                draw_bars(program, figures).savefig(folder / f"{name}.png", dpi=150)


def draw_bars(program: str, figures: Figures) -> Figure:
    """Return one panel for each quantity: a bar for each median, with the spread of the rounds."""
    panels = PANELS[program]
    drawn = Figure(figsize=(4.2 * len(panels), 3.0), layout="constrained")
    axes = drawn.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, path) in zip(axes, panels, strict=True):
        measured = figures
        for key in path:
            measured = measured[key]
        _bars(axis, title, measured)
    _name_shape(drawn, figures)
    return drawn


def _bars(axis: Axes, title: str, measured: Figures) -> None:
    """Draw one bar for each spread, its label above it."""
    for place, (way, spread) in enumerate(measured.items()):
        label, colour = LABELS[way]
        middle = spread["median"]
        written = f"{middle:,.0f}" if middle >= 1_000 else f"{middle:.3g}"
        reach = [[middle - spread["minimum"]], [spread["maximum"] - middle]]
        axis.barh(place, middle, 0.5, xerr=reach, color=colour, ecolor="#555555", capsize=3)
        axis.text(0, place - 0.27, f"{label}: {written}", va="bottom", ha="left", fontsize=9)
    axis.set_ylim(len(measured) - 0.65, -0.75)
    axis.set_yticks([])
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right", "left"]].set_visible(False)


def draw_scale(figures: Figures) -> Figure:
    """Return seconds and peak memory by the number of documents."""
    drawn = Figure(figsize=(8.4, 3.2), layout="constrained")
    seconds, memory = drawn.subplots(1, 2)
    for axis, key, title in (
        (seconds, "seconds", "seconds to embed"),
        (memory, "peak_mib", "peak memory, MiB"),
    ):
        for way in ("ours", "sorted"):
            label, colour = LABELS[way]
            sizes = [size for size in figures["documents"] if f"{way} {size}" in figures[key]]
            medians = [figures[key][f"{way} {size}"]["median"] for size in sizes]
            axis.plot(sizes, medians, "o-", color=colour, label=label)
        axis.set_xscale("log")
        axis.set_xticks(figures["documents"], [f"{size:,}" for size in figures["documents"]])
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("short documents")
        axis.spines[["top", "right"]].set_visible(False)
    seconds.set_yscale("log")
    seconds.yaxis.set_major_formatter("{x:g}")
    memory.set_ylim(bottom=0, top=1.1 * max(memory.get_ylim()))
    seconds.legend(frameon=False, fontsize=9)
    _name_shape(drawn, figures)
    return drawn


def _name_shape(drawn: Figure, figures: Figures) -> None:
    machine = Machine(**figures["machine"])
    drawn.suptitle(f"shape {figures['shape']}, {machine.folder}, {machine.threads} threads")


def draw_searches(names: Sequence[str], ndcg: Mapping[str, Sequence[float]]) -> Figure:
    """Return nDCG@10 by kind of question, for BM25, the teacher, ours and HyDE."""
    drawn = Figure(figsize=(9, 3.6), layout="constrained")
    axes = drawn.subplots()
    places = np.arange(len(names))
    colours = (BM25, TEACHER, OURS, HYDE)
    for number, ((label, values), colour) in enumerate(zip(ndcg.items(), colours, strict=True)):
        axes.bar(places + (number - 1.5) * 0.2, values, 0.19, label=label, color=colour)
    axes.set_xticks(places, names)
    axes.set_ylabel("nDCG@10")
    axes.set_ylim(0, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    drawn.legend(loc="outside upper center", ncols=len(ndcg), frameon=False)
    return drawn


def draw_token_counts(runs: Sequence[dict[str, Any]]) -> Figure:
    """Return retrieval and fidelity by the number of response tokens, where all are read."""
    all_read = [run for run in runs if run["name"].isdigit()]
    counts = [int(run["name"]) for run in all_read]
    reasoning = [run["report"]["reasoning"]["model"]["ndcg"] for run in all_read]
    decoded = [run["report"]["decoded"] for run in all_read]
    drawn = Figure(figsize=(6, 3.4), layout="constrained")
    axes = drawn.subplots()
    axes.plot(counts, reasoning, "o-", color=OURS, label="nDCG@10, bridged questions")
    axes.plot(counts, decoded, "s--", color=DECODED, label="share of decoded = answer")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("response tokens")
    axes.set_ylim(0, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return drawn


if __name__ == "__main__":
    main()
