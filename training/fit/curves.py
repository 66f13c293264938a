"""The loss curves of a run as an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.files import replacing

require_extra("train", "matplotlib")
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import NullFormatter  # noqa: E402

LOSSES = {
    "reconstruction": "reconstruction loss (nats a token)",
    "alignment": "alignment loss (mean squared error)",
}


def draw_curves(log: Sequence[dict[str, float]], path: Path) -> None:
    """Draw both losses over the steps, with the learning rate in the background, as a PNG.

    Args:
        log: entries with `step`, `reconstruction`, `alignment` and, except for the last one of a
            run, `learning_rate`, as `FitResult.log`.
        path: the file to write.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(LOSSES))
    for panel, (name, label) in zip(panels, LOSSES.items(), strict=True):
        _draw_rate(panel, log)
        values = [entry[name] for entry in log]
        panel.plot([entry["step"] for entry in log], values, color="tab:blue", marker=".")
        if 0 < 10 * min(values) < max(values):
            panel.set_yscale("log")
            panel.yaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set_xlabel("step")
        panel.set_title(label)
        panel.grid(visible=True, which="both", alpha=0.25)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _draw_rate(panel: Any, log: Sequence[dict[str, float]]) -> None:
    """Draw the learning rate in grey, with its own axis on the right."""
    known = [entry for entry in log if "learning_rate" in entry]
    axis = panel.twinx()
    axis.fill_between(
        [entry["step"] for entry in known],
        [entry["learning_rate"] for entry in known],
        color="0.9",
    )
    axis.set_ylim(bottom=0)
    axis.tick_params(colors="0.5")
    axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axis.set_ylabel("learning rate", color="0.5")
    panel.set_zorder(axis.get_zorder() + 1)
    panel.patch.set_visible(False)
