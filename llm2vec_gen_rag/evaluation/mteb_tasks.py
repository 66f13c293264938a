"""The paper's benchmark of embeddings: the 41 tasks of MTEB(eng, v2), and its lite list of ten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.evaluation.comparison import Comparison, Line, mean
from llm2vec_gen_rag.evaluation.paper_figures import CATEGORIES, Figures, published_figures
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.prompts.mteb import MTEB_INSTRUCTIONS

require_extra("eval", "mteb")

import mteb  # noqa: E402

from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder, run_tasks  # noqa: E402

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

BENCHMARK = "MTEB(eng, v2)"
SEED = 42  # mteb's own, for the training examples of classification and the samples of clustering

LITE = (
    "ArguAna",
    "ClimateFEVERHardNegatives",
    "AskUbuntuDupQuestions",
    "ArXivHierarchicalClusteringP2P",
    "MedrxivClusteringP2P.v2",
    "SprintDuplicateQuestions",
    "Banking77Classification",
    "ImdbClassification",
    "BIOSSES",
    "STS17",
)

LITE_NOTE = (
    "The reference's own program leaves BIOSSES and STS17 out of its lite list, because a comma is "
    "missing between the two names; the paper lists all ten, and ten are measured here."
)


def benchmark_tasks(which: str = "all") -> list[AbsTask]:
    """Return tasks of the benchmark, not yet loaded.

    Args:
        which: "all", "lite", or names of tasks with commas between.

    Returns:
        The tasks, in this order.

    Raises:
        ValueError: if a name is not one of the 41.
    """
    known = {task.metadata.name: task for task in mteb.get_benchmark(BENCHMARK).tasks}
    if which == "all":
        return list(known.values())
    names = LITE if which == "lite" else tuple(name.strip() for name in which.split(","))
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is no task of {BENCHMARK}; expected all, lite, or names out of "
                f"{', '.join(sorted(known))}."
            )
    return [known[name] for name in names]


def evaluate_mteb(
    model: LLM2VecGen,
    which: str = "all",
    *,
    instruction: str | None = None,
    max_length: int = 512,
    results_folder: Path | None = None,
    show_progress: bool = False,
) -> Comparison:
    """Measure a model on the benchmark; `mteb` downloads each task's data.

    Args:
        model: the model.
        which: see `benchmark_tasks`.
        instruction: used for every task; None takes each task's published one.
        max_length: see `LLM2VecGen.encode`; the paper's is 512.
        results_folder: see `run_tasks`.
        show_progress: whether to show progress bars.

    Returns:
        The main scores in percent; see `compare`.

    Raises:
        ValueError: see `benchmark_tasks`; or the model is no loaded one.
        OSError: if a task's data cannot be downloaded.
    """
    tasks = benchmark_tasks(which)
    own = {task.metadata.name: instruction for task in tasks if instruction is not None}
    encoder = MtebEncoder(model, own or MTEB_INSTRUCTIONS, max_length)
    results = run_tasks(encoder, tasks, results_folder=results_folder, show_progress=show_progress)
    scores = {result.task_name: 100 * result.get_score() for result in results}
    kinds = {task.metadata.name: task.metadata.type for task in tasks}
    return compare(model.name, which, scores, kinds)


def compare(name: str, which: str, scores: dict[str, float], kinds: dict[str, str]) -> Comparison:
    """Put scores beside the paper's: the mean, the means of categories, then each task.

    The paper has a figure for all tasks and for the lite list, none for other choices.

    Args:
        name: the model's name.
        which: see `benchmark_tasks`.
        scores: in percent, by task.
        kinds: mteb's name of the task type, by task.

    Returns:
        The measured figures with the paper's.
    """
    paper = published_figures(name)
    lines = [
        Line(
            f"mean of {len(scores)}",
            mean(list(scores.values())),
            *_means(which, paper.model, paper.teacher),
        )
    ]
    for category in CATEGORIES:
        found = [score for task, score in scores.items() if kinds[task] == category]
        if found and which == "all":
            figures = (paper.model.categories.get(category), paper.teacher.categories.get(category))
            lines.append(Line(f"{category} ({len(found)})", mean(found), *figures))
    lines += [Line(task, score) for task, score in scores.items()]
    return Comparison(
        benchmark=f"{BENCHMARK}, main scores in %",
        lines=tuple(lines),
        notes=(LITE_NOTE,) if which == "lite" else (),
    )


def _means(which: str, *figures: Figures) -> list[float | None]:
    """Return the paper's mean over the chosen tasks for each method; None if it has none."""
    known = {"all": "mteb", "lite": "lite"}
    return [getattr(f, known[which]) if which in known else None for f in figures]
