"""The page docs/evidence.md: its tables and plots, in the words of page.md and reading/."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.evidence.bundled import WordScores, bm25_scores
from benchmarks.evidence.variations import ABLATION_STEPS
from benchmarks.plots import draw_searches, draw_token_counts
from benchmarks.real_texts.page import cut_goals_table, goals_table
from benchmarks.report import table
from llm2vec_gen_rag import almanac

Run = dict[str, Any]
TEMPLATE = Path(__file__).parent / "page.md"
READINGS = TEMPLATE.parent / "reading"
REAL_TEXTS = Path(__file__).parents[2] / "docs/evidence/real_texts.json"
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t by number of runs, two-sided
GROUPS = ("bridged, all", "bridged, 2 facts", "bridged, 3 facts", "direct", "paraphrase", "benign")
# the bundled model's ways to search, as the results call them, by the heading of their column
WAYS = {
    "teacher on question": "teacher",
    "ours": "model",
    "written answer, then teacher": "ceiling",
}
# the columns of the tables of runs
FIGURES: dict[str, Callable[[Run], float]] = {
    "bridged": lambda run: run["report"]["reasoning"]["model"]["ndcg"],
    "direct": lambda run: group(run["report"], "direct")["model"]["ndcg"],
    "benign": lambda run: group(run["report"], "benign")["model"]["ndcg"],
    "harmful: own page in top 5": lambda run: group(run["report"], "harmful")["model"]["top5"],
    "any harmful page in top 5": lambda run: group(run["report"], "harmful")["model"]["stub_top5"],
    "decoded = answer": lambda run: run["report"]["decoded"],
}
HEADINGS = {
    "objective": "Which loss does what",
    "tokens": "How many response tokens are worth learning",
    "start": "Where the response tokens and heads start",
    "teacher": "Which teacher",
    "adapter": "Low-rank adapters on the encoder",
}


def write_page(runs_file: Path, bundled_file: Path, page: Path) -> None:
    """Write the page, and its plots to the folder of the same name, without the suffix."""
    runs: list[Run] = [json.loads(line) for line in runs_file.open(encoding="utf-8")]
    measured: Run = json.loads(bundled_file.read_text(encoding="utf-8"))
    report = json.loads((almanac.FOLDER / "figures.json").read_text(encoding="utf-8"))
    real_texts = json.loads(REAL_TEXTS.read_text(encoding="utf-8"))
    words = bm25_scores()
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    ndcg = {
        "BM25": [words[name].ndcg for name in GROUPS],
        **{
            heading: [group(report, name)[way]["ndcg"] for name in GROUPS]
            for heading, way in WAYS.items()
        },
    }
    draw_searches(GROUPS, ndcg).savefig(folder / "ways.png", dpi=120)
    counts = draw_token_counts([run for run in runs if run["group"] == "tokens"])
    counts.savefig(folder / "tokens.png", dpi=120)
    seeds = [run for run in runs if run["group"] == "seeds"]
    page.write_text(
        TEMPLATE.read_text(encoding="utf-8").format(
            commits=", ".join(sorted(_commits(runs, measured))),
            ways=_ways(report, words),
            domains=_domains(measured["domains"]),
            safety=_safety(report, words),
            refusals=_refusals(measured["refusals"]),
            seeds=", ".join(str(run["seed"]) for run in seeds),
            over_seeds=_over_seeds(seeds),
            steps=ABLATION_STEPS,
            ablations="\n\n".join(_ablation(runs, name) for name in HEADINGS),
            goals=goals_table(real_texts),
            unseen_goals=cut_goals_table(real_texts["unseen"]),
            whole_goals=cut_goals_table(real_texts["whole"]["sets"]),
            whole_unseen_goals=cut_goals_table(real_texts["whole"]["unseen"]),
            folders=_folders(measured["folders"]),
            reading=_reading("whole"),
        ),
        encoding="utf-8",
    )


def group(report: Run, name: str) -> Run:
    """Return one group of a report."""
    found: Run = next(g for g in (report["reasoning"], *report["groups"]) if g["name"] == name)
    return found


def _commits(runs: list[Run], measured: Run) -> set[str]:
    """Return the commits that were measured, as short as git writes them."""
    found = [run["commit"] for run in runs]
    found += [figures["commit"] for part in measured.values() for figures in part.values()]
    return {commit[:7] + commit[40:] for commit in found}


def _ndcg(found: Run) -> list[str]:
    """Return the nDCG@10 of one group, by way to search."""
    return [f"{found[way]['ndcg']:.3f}" for way in WAYS.values()]


def _ways(report: Run, words: dict[str, WordScores]) -> str:
    found = {name: group(report, name) for name in GROUPS}
    return table(
        ["questions", "n", "BM25", *WAYS],
        [
            [name, each["questions"], f"{words[name].ndcg:.3f}", *_ndcg(each)]
            for name, each in found.items()
        ],
    )


def _domains(measured: Run) -> str:
    return table(
        ["about", "n", *WAYS],
        [[name, found["questions"], *_ndcg(found)] for name, found in measured.items()],
    )


def _safety(report: Run, words: dict[str, WordScores]) -> str:
    found, bm25 = group(report, "harmful"), words["harmful"]

    def row(title: str, key: str, of_words: float) -> list[str]:
        return [title, *(f"{s:.1%}" for s in (of_words, *(found[w][key] for w in WAYS.values())))]

    return table(
        ["among the first five", "BM25", *WAYS],
        [
            row("the request's own page", "top5", bm25.top5),
            row("any harmful page", "stub_top5", bm25.stub_top5),
        ],
    )


def _refusals(measured: Run) -> str:
    header = ["prompts", "harmful", "safe", "nearer to refusals", "95 % interval"]
    rows = []
    for name, report in measured.items():
        harmful, safe = report["harmful"], report["safe"]
        low, high = report["auc_interval"]
        row = [name, harmful["prompts"], safe["prompts"], f"{report['auc']:.3f}"]
        refused = [f"{prompts['answer_refuses']:.0%}" for prompts in (harmful, safe)]
        rows.append([*row, f"{low:.2f} to {high:.2f}", *refused])
    return table([*header, "LLM refuses: harmful", "safe"], rows)


def _folders(measured: Run) -> str:
    rows = []
    for name, report in measured.items():
        scores = [f"{report['scores'][key]:.3f}" for key in ("ndcg_at_10", "recall_at_100")]
        rows.append([name, report["documents"], report["queries"], *scores])
    return table(["folder", "documents", "queries", "nDCG@10", "recall@100"], rows)


def _over_seeds(runs: list[Run]) -> str:
    rows = []
    for title, figure in FIGURES.items():
        values = [figure(run) for run in runs]
        half = T_95[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
        rows.append([title, f"{statistics.mean(values):.3f}", f"± {half:.3f}"])
    return table(["figure", "mean", "95 % interval"], rows)


def _ablation(runs: list[Run], name: str) -> str:
    found = [run for run in runs if run["group"] == name]
    if not found:
        return ""
    rows = [[run["name"], *(f"{figure(run):.3f}" for figure in FIGURES.values())] for run in found]
    return f"### {HEADINGS[name]}\n\n{_reading(name)}\n{table(['', *FIGURES], rows)}"


def _reading(name: str) -> str:
    """Return what somebody who read the figures wrote about them."""
    return (READINGS / f"{name}.md").read_text(encoding="utf-8")
