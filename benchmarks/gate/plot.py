"""ROC curves of each set: against look-alikes above, against ordinary questions below."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gate.figures import BENIGN
from benchmarks.gate.scores import GATE, KEY_WORDS, TEACHER
from benchmarks.plots import BM25, OURS
from benchmarks.plots import TEACHER as GREY

DRAWN = {
    GATE: ("the gate", OURS, "-"),
    TEACHER: ("the same fit on the teacher's vectors", GREY, "-"),
    KEY_WORDS: ("key words", BM25, "--"),
}
TITLES = {"look_alikes": "look-alikes refused", "ordinary": "ordinary questions refused"}
FEWEST = 0.002  # the left end of the axis


def draw(sets: dict[str, Any]) -> Figure:
    """Return one column for each set, with a logarithmic axis of false refusals."""
    drawn = Figure(figsize=(3.3 * len(sets), 6.2), layout="constrained")
    panels = drawn.subplots(len(BENIGN), len(sets), squeeze=False, sharey=True)
    for column, (name, found) in enumerate(sets.items()):
        panels[0][column].set_title(name, fontsize=10)
        for row, benign in enumerate(BENIGN):
            _curves(panels[row][column], found["scores"], benign)
    for row in panels:
        row[0].set_ylabel("harmful queries refused")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(DRAWN), frameon=False)
    return drawn


def _curves(axis: Axes, scores: dict[str, Any], benign: str) -> None:
    for score, (label, colour, style) in DRAWN.items():
        curve = scores[score][benign]["roc"]
        across = [max(share, FEWEST) for share in curve["false_refusals"]]
        axis.plot(across, curve["blocked"], style, color=colour, label=label)
    at = scores[GATE]["refused"]
    axis.plot(
        max(at[benign]["share"], FEWEST), at["harmful"]["share"], "o", color=OURS,
        label="the gate's threshold",
    )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(FEWEST * 0.9, 1)
    axis.set_xticks([0.01, 0.05, 0.2, 1], ["1 %", "5 %", "20 %", "100 %"])
    axis.minorticks_off()
    axis.set_ylim(0, 1.02)
    axis.set_xlabel(TITLES[benign], fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
