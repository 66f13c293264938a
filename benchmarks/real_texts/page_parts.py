"""The parts of the page beside retrieval: latency, safety, overlap, decoded texts, accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.provenance import LIBRARIES, Record
from benchmarks.real_texts.cells import in_words, literal, signed, small
from benchmarks.real_texts.goals import SCORES, SUPERVISED, Figures
from benchmarks.real_texts.intervals import mean_over_sets, mean_with_interval
from benchmarks.real_texts.results_file import PROVENANCE
from benchmarks.report import table

OURS = "ours, taught by it"
WRITTEN = f"written answer, then {SUPERVISED}"
UNKNOWN = "not recorded"
SAFETY_HEADER = (
    "score", "prompts", "harmful", "safe", "AUC", "harmful refused", "safe refused",
    "ordinary questions refused",
)  # fmt: skip
DECODED_HEADER = (
    "set", "queries", "its own answer", "another query's answer", "difference",
    "the query and its answer",
)  # fmt: skip
COSINES = {
    "worst_cosine": "worst cosine",
    "mean_cosine": "mean",
    "worst_centred_cosine": "worst centred",
    "mean_centred_cosine": "mean centred",
}

Fields = dict[str, Any]


def is_measured(figures: Figures, part: str) -> bool:
    """Return whether the figures have a part, of decoded texts by a third encoder."""
    return part in figures and (part != "decoded" or "encoder" in figures[part])


def latency(figures: Figures) -> Fields:
    """Return the fields of parts/latency.md."""
    titles = {"ours": OURS, "teacher": SUPERVISED, "hyde": WRITTEN}
    found = figures["latency"]["milliseconds"]
    rows = [[titles[way], f"{milliseconds:,.0f}"] for way, milliseconds in found.items()]
    record = figures.get(PROVENANCE, {}).get("latency")
    where = f"{_processor(record)}, {record['threads']} threads" if record else UNKNOWN
    return {"table": table(["way", "ms"], rows), "where": where, "supervised": SUPERVISED}


def safety(figures: Figures) -> Fields:
    """Return the fields of parts/safety.md."""
    found_of = figures["safety"]
    rows = [
        [
            title,
            name,
            found["harmful"],
            found["safe"],
            small(found["auc"], *found["auc_interval"]),
            *(f"{found[kind]:.0%}" for kind in ("harmful_refused", "safe_refused")),
            f"{found_of[score]['held_out_refused']:.1%}",
        ]
        for score, title in SCORES.items()
        for name, found in found_of[score]["sets"].items()
    ]
    dropped = (f"{count} of {name}" for name, count in found_of["seen_and_dropped"].items())
    return {
        "table": table(SAFETY_HEADER, rows),
        "held_out": found_of["held_out"],
        "dropped": ", ".join(dropped),
        **found_of["trained_on"],
    }


def overlap(figures: Figures) -> Fields:
    """Return the fields of parts/overlap.md."""
    found_of = figures["overlap"]
    sets = [
        [name, *(f"{found[f'{side}_seen']} of {found[side]}" for side in ("documents", "queries")),
         found["training_texts_inside"]]
        for name, found in found_of["sets"].items()
    ]  # fmt: skip
    prompts = [
        [name, *(f"{found[f'{kind}_near']} of {found[kind]}, nearest {found[f'{kind}_nearest']:.2f}"
                 for kind in ("harmful", "safe"))]
        for name, found in found_of["prompts"].items()
    ]  # fmt: skip
    return {
        "count": f"{found_of['training_texts']:,}",
        "long": f"{found_of['long_training_texts']:,}",
        "sets": table(["set", "documents", "queries", "training texts in its documents"], sets),
        "prompts": table(["prompts", "harmful", "safe"], prompts),
    }


def decoded(figures: Figures) -> Fields:
    """Return the fields of parts/decoded.md."""
    found_of = figures["decoded"]["sets"]
    own, another, asked = (
        {name: np.asarray(found[key]) for name, found in found_of.items()}
        for key in ("own_answer", "another_answer", "query_and_answer")
    )
    nearer = {name: own[name] - another[name] for name in own}
    rows = [
        [name, len(own[name]), *(f"{each[name].mean():.3f}" for each in (own, another)),
         signed(*mean_with_interval(nearer[name], name)), f"{asked[name].mean():.3f}"]
        for name in own
    ]  # fmt: skip
    first, second, third = (f"{mean_over_sets(each)[0]:.3f}" for each in (own, another, asked))
    mean = mean_over_sets(nearer)
    rows.append(["**mean**", "", first, second, signed(*mean), third])
    examples = [each["examples"][0] for each in found_of.values()]
    cells = [[literal(row[key]) for key in ("query", "decoded", "answer")] for row in examples]
    return {
        "encoder": figures["decoded"]["encoder"],
        "table": table(DECODED_HEADER, rows),
        "finding": _on_topic(*mean),
        "examples": table(["query", "decoded", "written answer"], cells),
    }


def _on_topic(middle: float, low: float, high: float) -> str:
    """Return what the interval of the mean difference allows to say."""
    if low <= 0 <= high:
        said = (
            "No topic is found: whether decoded texts are nearer to their own answer is not settled"
        )
    elif low > 0:
        said = "On average a decoded text is nearer to its own query's answer than to another's"
    else:
        said = "On average a decoded text is further from its own query's answer than another's"
    return f"**{said}**, {in_words(middle, low, high)}."


def accuracy(figures: Figures) -> Fields:
    """Return the fields of parts/accuracy.md."""
    rows = [
        [
            f"{name}, {side}",
            found[side],
            dtype,
            *(f"{each[side][key]:.5f}" for key in COSINES),
            small(each["ndcg"], *each["ndcg_interval"]),
            small(*each["ndcg_ratio"]),
        ]
        for name, found in figures["accuracy"].items()
        for dtype, each in found["dtypes"].items()
        for side in ("documents", "queries")
    ]
    header = ["texts", "n", "dtype", *COSINES.values(), "nDCG@10", "/ float32"]
    return {"table": table(header, rows)}


def measured_with(figures: Figures, titles: Mapping[str, str]) -> Fields:
    """Return the fields of the end of the page; parts with the same record are one row.

    Args:
        figures: all of them.
        titles: of the parts that are on the page.
    """
    rows: dict[tuple[str, ...], list[str]] = {}
    for title, record in _records(figures, titles):
        rows.setdefault(_cells_of(record), []).append(title)
    header = ["part", "commit", "fingerprint", "processor", *LIBRARIES]
    return {
        "provenance": table(header, [["; ".join(names), *cells] for cells, names in rows.items()]),
        "rows": figures["made"].get("rows_sha256", UNKNOWN),
    }


def _records(figures: Figures, titles: Mapping[str, str]) -> Iterator[tuple[str, Record | None]]:
    """Yield the title and the record of each part; a recipe may have one of its own."""
    for part, title in titles.items():
        if part != "recipes":
            yield title, figures.get(PROVENANCE, {}).get(part)
            continue
        records = {label: found.get(PROVENANCE) for label, found in figures[part].items()}
        if len({_cells_of(record) for record in records.values()}) == 1:
            yield title, next(iter(records.values()))
        else:
            yield from ((f"{title}: {label}", record) for label, record in records.items())


def _cells_of(record: Record | None) -> tuple[str, ...]:
    if record is None:
        return (UNKNOWN,) * (3 + len(LIBRARIES))
    commit, fingerprint = record["commit"] or "unknown", record["fingerprint"] or ""
    versions = (record["versions"][name] for name in LIBRARIES)
    # spelling is not checked before an ellipsis
    shortened = (f"{commit[:7]}{commit[40:]} ...", f"{fingerprint[:7]} ..." if fingerprint else "")
    return (*shortened, _processor(record), *versions)


def _processor(record: Record) -> str:
    return f"{record['processor']} (family {record['family']}, model {record['model']})"
