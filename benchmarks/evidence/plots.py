"""The plots of the evidence page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .bm25 import WordScores

COLOURS = ("#b8b8b8", "#7aa6c2", "#d1495b", "#2e4057")


def plot_ways(
    report: dict[str, Any], words: dict[str, WordScores], names: Sequence[str], path: Path
) -> None:
    """Bars of nDCG@10, one group of bars a kind of question, one bar a way to search."""
    groups = {group["name"]: group for group in (report["reasoning"], *report["groups"])}
    ways = {"BM25": [words[name].ndcg for name in names]}
    for way, label in (
        ("teacher", "teacher on the question"),
        ("model", "ours, one pass"),
        ("ceiling", "written answer, then teacher"),
    ):
        ways[label] = [groups[name][way]["ndcg"] for name in names]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    for number, ((label, values), colour) in enumerate(zip(ways.items(), COLOURS, strict=True)):
        axes.bar(places + (number - 1.5) * 0.2, values, 0.19, label=label, color=colour)
    axes.set_xticks(places, names)
    axes.set_ylabel("nDCG@10")
    axes.set_ylim(0, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)


def plot_tokens(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Reasoning and fidelity against the number of response tokens, all of them read."""
    read = [run for run in runs if run["name"].isdigit()]
    counts = [int(run["name"]) for run in read]
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    reasoning = [run["report"]["reasoning"]["model"]["ndcg"] for run in read]
    decoded = [run["report"]["decoded"] for run in read]
    axes.plot(counts, reasoning, "o-", color=COLOURS[2], label="nDCG@10, questions over facts")
    axes.plot(counts, decoded, "s--", color=COLOURS[3], label="decoded = answer")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xlabel("response tokens")
    axes.set_ylim(0, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=120)
