"""The page docs/real_texts.md, from the JSON of figures, in the words of page.md and parts/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_texts.goals import (
    HYBRIDS,
    SCORES,
    SUPERVISED,
    Figures,
    best_whitened,
    ndcg_of,
    retrieval_goals,
    safety_goals,
)
from benchmarks.real_texts.intervals import mean_over_sets, mean_with_interval, ratio_over_sets
from benchmarks.report import table
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT

FOLDER = Path(__file__).parent
SHOWN = 160  # characters of a decoded text or an answer
OURS = "ours, taught by it"
WRITTEN = f"written answer, then {SUPERVISED}"
GOALS_HEADER = ("goal", "bound", "measured", "95 % interval", "reached")
SAFETY_HEADER = (
    "score", "prompts", "harmful", "safe", "AUC", "harmful refused", "safe refused",
    "ordinary questions refused",
)  # fmt: skip
COSINES = {
    "worst_cosine": "worst cosine",
    "mean_cosine": "mean",
    "worst_centred_cosine": "worst centred",
    "mean_centred_cosine": "mean centred",
}

Fields = dict[str, Any]


def write_page(results: Path, page: Path) -> None:
    """Write the page from what the results have."""
    page.write_text(as_page(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")


def as_page(figures: Figures) -> str:
    """Return the page in Markdown; a part that was not measured is not on it."""
    made = figures["made"]
    parts = [
        _template(f"parts/{part}.md").format(**fields(figures)).strip()
        for part, fields in PARTS.items()
        if part in figures
    ]
    commit = made["commit"] or "unknown"
    return _template("page.md").format(
        commit=commit[:7] + commit[40:], model=made["model"], parts="\n\n".join(parts)
    )


def ways(figures: Figures) -> dict[str, str]:
    """Return the heading of each way's column."""
    return {
        "bm25": "BM25",
        "states_centred": "LLM's states, centred",
        "states_whitened_middle": f"whitened, layer {figures['made']['middle_layer']}",
        "states_whitened_last": "whitened, last layer",
        "teacher": SUPERVISED,
        "ours": OURS,
        **{way: f"ours with BM25, {name}" for way, name in HYBRIDS.items()},
    }


def goals_table(figures: Figures) -> str:
    """Return the table of what the model must reach, and whether it does."""
    safety = safety_goals(figures["safety"]) if "safety" in figures else ()
    return table(GOALS_HEADER, [*retrieval_goals(figures["sets"]), *safety])


def _retrieval(figures: Figures) -> Fields:
    sets, headings = figures["sets"], ways(figures)
    found = {way: ndcg_of(sets, way) for way in headings}
    rows = [
        [
            name,
            each["documents"],
            each["queries"],
            *(_small(*mean_with_interval(found[way][name], name)) for way in headings),
        ]
        for name, each in sets.items()
    ]
    rows.append(["**mean**", "", "", *(_small(*mean_over_sets(found[way])) for way in headings)])
    return {
        "goals": goals_table(figures),
        "best": headings[best_whitened(sets)],
        "table": table(["nDCG@10", "documents", "queries", *headings.values()], rows),
        "length": figures["made"]["max_length"],
        "weight": WEIGHT,
        "rest": 1 - WEIGHT,
        "weights": ", ".join(f"{name} {each['hybrid_weight']:g}" for name, each in sets.items()),
    }


def _hyde(figures: Figures) -> Fields:
    compared = {"teacher": SUPERVISED, "ours": OURS}
    rows = []
    for name, each in figures["hyde"].items():
        few, others = each["queries"], figures["sets"][name]["ndcg"]
        means = [np.mean(each["ndcg"]), *(np.mean(others[way][:few]) for way in compared)]
        seconds = f"{each['seconds_per_query_side_by_side']:.2f}"
        rows.append([name, few, *(f"{mean:.3f}" for mean in means), seconds])
    header = ["nDCG@10", "queries", WRITTEN, *compared.values(), "seconds a query, side by side"]
    return {"table": table(header, rows)}


def _latency(figures: Figures) -> Fields:
    titles = {"ours": OURS, "teacher": SUPERVISED, "hyde": WRITTEN}
    found = figures["latency"]["milliseconds"]
    rows = [[titles[way], f"{milliseconds:,.0f}"] for way, milliseconds in found.items()]
    return {"table": table(["way", "ms"], rows)}


def _safety(figures: Figures) -> Fields:
    safety = figures["safety"]
    rows = [
        [
            title,
            name,
            found["harmful"],
            found["safe"],
            _small(found["auc"], *found["auc_interval"]),
            *(f"{found[kind]:.0%}" for kind in ("harmful_refused", "safe_refused")),
            f"{safety[score]['held_out_refused']:.1%}",
        ]
        for score, title in SCORES.items()
        for name, found in safety[score]["sets"].items()
    ]
    dropped = (f"{count} of {name}" for name, count in safety["seen_and_dropped"].items())
    return {
        "table": table(SAFETY_HEADER, rows),
        "held_out": safety["held_out"],
        "dropped": ", ".join(dropped),
        **safety["trained_on"],
    }


def _decoded(figures: Figures) -> Fields:
    found = figures["decoded"]
    rows = [
        [name, len(each["examples"]), _cosine(each["own_answer"]), _cosine(each["another_answer"])]
        for name, each in found.items()
    ]
    first = [each["examples"][0] for each in found.values()]
    cells = [[_cell(row[key]) for key in ("query", "decoded", "answer")] for row in first]
    header = ["set", "queries", "its own answer", "another query's answer"]
    return {
        "table": table(header, rows),
        "examples": table(["query", "decoded", "written answer"], cells),
    }


def _recipes(figures: Figures) -> Fields:
    sets = figures["sets"]
    whitened, centred = (ndcg_of(sets, way) for way in (best_whitened(sets), "states_centred"))
    named = {label: each["ndcg"] for label, each in figures["recipes"].items()}
    rows = [
        [label, *(f"{found[name].mean():.3f}" for name in sets), _small(*mean_over_sets(found)),
         _small(*ratio_over_sets(found, centred)), _small(*ratio_over_sets(found, whitened))]
        for label, by_set in named.items()
        for found in [{name: np.asarray(by_set[name]) for name in sets}]
    ]  # fmt: skip
    header = ["recipe", *sets, "mean", "/ centred", "/ whitened"]
    return {"table": table(header, rows)}


def _accuracy(figures: Figures) -> Fields:
    rows = [
        [
            f"{name}, {side}",
            found[side],
            dtype,
            *(f"{each[side][key]:.5f}" for key in COSINES),
            _small(each["ndcg"], *each["ndcg_interval"]),
            _small(*each["ndcg_ratio"]),
        ]
        for name, found in figures["accuracy"].items()
        for dtype, each in found["dtypes"].items()
        for side in ("documents", "queries")
    ]
    header = ["texts", "n", "dtype", *COSINES.values(), "nDCG@10", "/ float32"]
    return {"table": table(header, rows)}


def _template(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _small(middle: float, low: float, high: float) -> str:
    """Return a figure with its interval in small text."""
    return f"{middle:.3f} <sub>{low:.2f}–{high:.2f}</sub>"


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return the beginning of a text as a cell of a table, read literally."""
    line = " ".join(text.split())
    shown = line if len(line) <= SHOWN else line[:SHOWN].rstrip() + " …"
    return "".join(f"\\{c}" if c in "\\`*_[]|<>$#~" else c for c in shown)


PARTS: dict[str, Callable[[Figures], Fields]] = {
    "sets": _retrieval,
    "recipes": _recipes,
    "hyde": _hyde,
    "latency": _latency,
    "safety": _safety,
    "decoded": _decoded,
    "accuracy": _accuracy,
}
