"""The page docs/real_texts.md, from the JSON of figures, in the words of page.md and parts/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.real_texts import page_parts
from benchmarks.real_texts.cells import in_words, signed, small
from benchmarks.real_texts.goals import (
    HYBRIDS,
    SUPERVISED,
    Figures,
    best_whitened,
    better_whitened_of_each,
    named,
    ndcg_of,
    retrieval_goals,
    safety_goals,
    sets_below,
)
from benchmarks.real_texts.intervals import mean_over_sets, mean_with_interval, ratio_over_sets
from benchmarks.real_texts.page_parts import OURS, WRITTEN, Fields
from benchmarks.real_texts.results_file import read_figures
from benchmarks.report import table
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT

FOLDER = Path(__file__).parent
GOALS_HEADER = ("goal", "bound", "measured", "95 % interval", "reached")


def write_page(results: Path, page: Path) -> None:
    """Write the page from what the results have."""
    page.write_text(as_page(read_figures(results)), encoding="utf-8")


def as_page(figures: Figures) -> str:
    """Return the page in Markdown; a part that was not measured is not on it."""
    measured = {
        part: fields for part, fields in PARTS.items() if page_parts.is_measured(figures, part)
    }
    templates = {part: _template(f"parts/{part}.md").strip() for part in measured}
    titles = {
        part: ", ".join(line[3:] for line in text.splitlines() if line.startswith("## "))
        for part, text in templates.items()
    }
    parts = [templates[part].format(**fields(figures)) for part, fields in measured.items()]
    documents = [each["documents"] for each in figures["sets"].values()]
    return _template("page.md").format(
        model=figures["made"]["model"],
        fewest=min(documents),
        most=max(documents),
        unseen=_unseen_or_not(figures),
        parts="\n\n".join(parts),
        **page_parts.measured_with(figures, titles),
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


def cut_goals_table(sets: Figures) -> str:
    """Return the same of retrieval alone, on one cut of the sets."""
    return table(GOALS_HEADER, list(retrieval_goals(sets)))


def _retrieval(figures: Figures) -> Fields:
    sets = figures["sets"]
    return {
        "goals": goals_table(figures),
        "best": ways(figures)[best_whitened(sets)],
        "beside_each": _beside_better_of_each(sets),
        "table": _ndcg_table(sets, ways(figures)),
        "length": figures["made"]["max_length"],
        "weight": WEIGHT,
        "rest": 1 - WEIGHT,
        "weights": ", ".join(f"{name} {each['hybrid_weight']:g}" for name, each in sets.items()),
    }


def _unseen(figures: Figures) -> Fields:
    sets = figures["unseen"]
    return {
        "goals": cut_goals_table(sets),
        "best": ways(figures)[best_whitened(sets)],
        "beside_each": _beside_better_of_each(sets),
        "table": _ndcg_table(sets, ways(figures)),
        "shared": ", ".join(
            f"{name} {each['relevant_in_the_first_cut']} of {each['relevant_documents']}"
            for name, each in sets.items()
        ),
    }


def _whole(figures: Figures) -> Fields:
    found = figures["whole"]
    sets, unseen = found["sets"], found["unseen"]
    longer = (
        f"{count} of {sets[name]['documents']} of {name}"
        for name, count in found["longer"].items()
        if count
    )
    return {
        "short": figures["made"]["max_length"],
        "length": found["max_length"],
        "longer": ", ".join(longer) or "none",
        "goals": cut_goals_table(sets),
        "table": _ndcg_table(sets, ways(figures)),
        "unseen_goals": cut_goals_table(unseen),
        "unseen_table": _ndcg_table(unseen, ways(figures)),
    }


def _unseen_or_not(figures: Figures) -> str:
    if "unseen" not in figures:
        return "Other queries of the same sets are not measured yet."
    return (
        "[Other queries](#queries-on-which-nothing-was-chosen) of the same sets are measured apart."
    )


def _beside_better_of_each(sets: Figures) -> str:
    """Return a sentence that compares ours with the better whitened layer of each set."""
    ours, better = ndcg_of(sets, "ours"), better_whitened_of_each(sets)
    ratio, low, high = ratio_over_sets(ours, better)
    below = named(sets_below(ours, better))
    return (
        "Beside the better layer of each set, for which there is no bound, the ratio is "
        f"{ratio:.3f} ({low:.3f} to {high:.3f}); sets where ours is below that layer: {below}."
    )


def _ndcg_table(sets: Figures, headings: Mapping[str, str]) -> str:
    """Return the nDCG@10 of each set and its interval by each way that was measured."""
    measured = next(iter(sets.values()))["ndcg"]
    found = {way: ndcg_of(sets, way) for way in headings if way in measured}
    rows = [
        [
            name,
            each["documents"],
            each["queries"],
            *(small(*mean_with_interval(ndcg[name], name)) for ndcg in found.values()),
        ]
        for name, each in sets.items()
    ]
    rows.append(["**mean**", "", "", *(small(*mean_over_sets(ndcg)) for ndcg in found.values())])
    return table(["nDCG@10", "documents", "queries", *(headings[way] for way in found)], rows)


def _hyde(figures: Figures) -> Fields:
    written = {name: np.asarray(each["ndcg"]) for name, each in figures["hyde"].items()}
    asked, ours = (
        {name: np.asarray(figures["sets"][name]["ndcg"][way])[: len(found)]
         for name, found in written.items()}
        for way in ("teacher", "ours")
    )  # fmt: skip
    difference = {name: found - asked[name] for name, found in written.items()}
    rows = [
        [
            name,
            len(found),
            *(f"{each[name].mean():.3f}" for each in (written, asked)),
            signed(*mean_with_interval(difference[name], name)),
            f"{ours[name].mean():.3f}",
            f"{figures['hyde'][name]['seconds_per_query_side_by_side']:.2f}",
        ]
        for name, found in written.items()
    ]
    first, second, third = (f"{mean_over_sets(each)[0]:.3f}" for each in (written, asked, ours))
    mean = mean_over_sets(difference)
    rows.append(["**mean**", "", first, second, signed(*mean), third, ""])
    header = [
        "nDCG@10", "queries", WRITTEN, SUPERVISED, "difference", OURS,
        "seconds a query, side by side",
    ]  # fmt: skip
    return {"table": table(header, rows), "finding": _written_against_asked(*mean)}


def _written_against_asked(middle: float, low: float, high: float) -> str:
    """Return what the interval of the mean difference allows to say."""
    if low <= 0 <= high:
        said = "Whether the written answer finds more or less than the question is not settled"
    else:
        said = f"On average the written answer finds {'more' if low > 0 else 'less'}"
        said += " than the question"
    return f"{said}: {in_words(middle, low, high)}."


def _recipes(figures: Figures) -> Fields:
    sets = figures["sets"]
    whitened, centred = (ndcg_of(sets, way) for way in (best_whitened(sets), "states_centred"))
    labels = {label: each["ndcg"] for label, each in figures["recipes"].items()}
    rows = [
        [label, *(f"{found[name].mean():.3f}" for name in sets), small(*mean_over_sets(found)),
         small(*ratio_over_sets(found, centred)), small(*ratio_over_sets(found, whitened))]
        for label, by_set in labels.items()
        for found in [{name: np.asarray(by_set[name]) for name in sets}]
    ]  # fmt: skip
    header = ["recipe", *sets, "mean", "/ centred", "/ whitened"]
    return {"table": table(header, rows), "variants": _variants_or_not(figures)}


def _variants_or_not(figures: Figures) -> str:
    if "variants" in figures:
        return "[Short runs](#short-training-runs) differ in one choice each."
    return _template("parts/variants_unmeasured.md").strip()


def _variants(figures: Figures) -> Fields:
    found_of = {
        label: {name: np.asarray(ndcg) for name, ndcg in each["ndcg"].items()}
        for label, each in figures["variants"].items()
    }
    base, *_ = found_of.values()
    rows = [
        [label, *(f"{ndcg.mean():.3f}" for ndcg in found.values()), small(*mean_over_sets(found)),
         "" if found is base else
         signed(*mean_over_sets({name: ndcg - base[name] for name, ndcg in found.items()}))]
        for label, found in found_of.items()
    ]  # fmt: skip
    return {"table": table(["run", *base, "mean", "beside the first"], rows)}


def _template(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


PARTS: dict[str, Callable[[Figures], Fields]] = {
    "sets": _retrieval,
    "unseen": _unseen,
    "whole": _whole,
    "recipes": _recipes,
    "variants": _variants,
    "hyde": _hyde,
    "latency": page_parts.latency,
    "safety": page_parts.safety,
    "overlap": page_parts.overlap,
    "decoded": page_parts.decoded,
    "accuracy": page_parts.accuracy,
}
