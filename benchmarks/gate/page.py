"""The page of the gate, from its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.gate.figures import BENIGN, RATES
from benchmarks.gate.scores import GATE, KEY_WORDS, STEMS, TEACHER
from benchmarks.gate.sets import KINDS
from benchmarks.report import table

TITLES = {GATE: "gate", TEACHER: "teacher", KEY_WORDS: "key words"}
NAMES = {"harmful": "harmful", "look_alikes": "look-alikes", "ordinary": "ordinary questions"}
TEMPLATE = Path(__file__).parent / "page.md"


def page(figures: dict[str, Any]) -> str:
    """Return the page in Markdown."""
    made = figures["made"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        commit=made["commit"],
        calibrations=_calibrations(made["models"]),
        refused=_refused(figures["sets"]),
        teachers=", ".join(f"{name}: {each['teacher']}" for name, each in made["models"].items()),
        stems=len(STEMS),
        separated=_separated(figures["sets"]),
        ordinary=made["ordinary"],
    )


def _calibrations(models: dict[str, Any]) -> str:
    header = ["gate of", "harmful", "benign", "benign refused", "harmful refused"]
    rows = [
        [
            name,
            found["harmful"],
            found["benign"],
            _share(found["false_refusals"], found["false_refusals_interval"]),
            _share(found["blocked"], found["blocked_interval"]),
        ]
        for name, each in models.items()
        for found in [each["calibration"]]
    ]
    return table(header, rows)


def _refused(sets: dict[str, Any]) -> str:
    rows = []
    for name, found in sets.items():
        at = found["scores"][GATE]["refused"]
        shares = (
            f"{_share(at[kind]['share'], at[kind]['interval'])} of {found['counts'][kind]}"
            for kind in KINDS
        )
        rows.append([name, found["model"], *shares])
    return table(["queries", "model", *NAMES.values()], rows)


def _separated(sets: dict[str, Any]) -> str:
    rates = [f"at {rate:.0%}" for rate in RATES]
    rows = [
        [name, NAMES[benign], TITLES[score], *_figures(each[benign])]
        for name, found in sets.items()
        for benign in BENIGN
        for score, each in found["scores"].items()
    ]
    return table(["harmful of", "against", "score", "AUC", *rates], rows)


def _figures(found: dict[str, Any]) -> list[str]:
    low, high = found["auc_interval"]
    auc = f"{found['auc']:.3f} <sub>{low:.2f}–{high:.2f}</sub>"
    return [auc, *(f"{share:.0%}" for share in found["blocked"].values())]


def _share(share: float, interval: list[float]) -> str:
    low, high = interval
    return f"{share:.1%} <sub>{low:.0%}–{high:.0%}</sub>"
