"""Draw the figures in benchmarks/results as docs/plots/*.png.

python -m benchmarks.plots
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks import RESULTS
from benchmarks.goals import Figures
from benchmarks.report import read_results

PLOTS = Path(__file__).parent.parent / "docs" / "plots"
OURS, THEIRS, ONE_CALL = "#1b6ca8", "#c8553d", "#e6ae90"
LABELS = {
    "ours": ("ours", OURS),
    "sorted": ("reference, sorted batches", THEIRS),
    "one_call": ("reference, one call", ONE_CALL),
    "reference": ("reference", THEIRS),
    "hyde": ("HyDE, 64 tokens, written by this package", ONE_CALL),
    "hyde_by_generate": ("HyDE, 64 tokens, written by generate()", ONE_CALL),
    "one": ("one process", ONE_CALL),
    "several": ("one process a core", OURS),
    "int8": ("in 8 bits", OURS),
    "default": ("in the default dtype", ONE_CALL),
}


def main() -> None:
    """Draw what there are figures of."""
    mpl.use("Agg")
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, figures in read_results(RESULTS).items():
        program = name.partition(".")[0]
        figure = draw_scale(figures) if program == "scale" else draw_bars(program, figures)
        figure.savefig(PLOTS / f"{name}.png", dpi=150)
        plt.close(figure)


def draw_bars(program: str, figures: Figures) -> Any:
    """Return bars of each way's median, with the spread of the rounds, one panel a quantity."""
    panels = {
        "encode": [
            ("documents per second", ("documents", "texts_per_second")),
            ("queries per second", ("queries", "texts_per_second")),
        ],
        "decode": [("seconds for 256 tokens", ("seconds",))],
        "memory": [("peak memory, MiB", ("peak_mib",)), ("seconds to load", ("load_seconds",))],
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
    }[program]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 3.0), squeeze=False, layout="constrained"
    )
    for axis, (title, path) in zip(axes[0], panels, strict=True):
        measured = figures
        for name in path:
            measured = measured[name]
        bars(axis, title, measured)
    figure.suptitle(f"shape {figures['shape']}, {figures['machine']['threads']} threads")
    return figure


def bars(axis: Axes, title: str, measured: Figures) -> None:
    """Draw one bar for each way."""
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


def draw_scale(figures: Figures) -> Any:
    """Return seconds and peak memory against the number of documents."""
    figure, (above, below) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
    for axis, kind, title in (
        (above, "seconds", "seconds to embed"),
        (below, "peak_mib", "peak memory, MiB"),
    ):
        for way in ("ours", "sorted"):
            label, colour = LABELS[way]
            measured = [
                (int(name.split()[1]), spread["median"])
                for name, spread in figures[kind].items()
                if name.split()[0] == way
            ]
            sizes, medians = zip(*measured, strict=True)
            axis.plot(sizes, medians, "o-", color=colour, label=label)
        axis.set_xscale("log")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("short documents")
        axis.spines[["top", "right"]].set_visible(False)
    above.set_yscale("log")
    below.set_ylim(bottom=0, top=1.1 * max(below.get_ylim()))
    above.legend(frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
