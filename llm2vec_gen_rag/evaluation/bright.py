"""BRIGHT: retrieval that needs reasoning, 12 sets of questions with short documents.

The sets are those of `mteb`'s BRIGHT(v1.1), which ignores each question's excluded documents, as
the benchmark's own program does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.evaluation.comparison import Comparison, Line, mean
from llm2vec_gen_rag.evaluation.paper_figures import published_figures
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS

require_extra("eval", "mteb")

import mteb  # noqa: E402

from llm2vec_gen_rag.evaluation.mteb_encoder import MtebEncoder, run_tasks  # noqa: E402

TASKS = {
    "biology": "BrightBiologyRetrieval",
    "earth_science": "BrightEarthScienceRetrieval",
    "economics": "BrightEconomicsRetrieval",
    "psychology": "BrightPsychologyRetrieval",
    "robotics": "BrightRoboticsRetrieval",
    "stackoverflow": "BrightStackoverflowRetrieval",
    "sustainable_living": "BrightSustainableLivingRetrieval",
    "pony": "BrightPonyRetrieval",
    "leetcode": "BrightLeetcodeRetrieval",
    "aops": "BrightAopsRetrieval",
    "theoremqa_theorems": "BrightTheoremQATheoremsRetrieval",
    "theoremqa_questions": "BrightTheoremQAQuestionsRetrieval",
}
MAX_LENGTH = 4096  # the reference's, though the models were trained at 512


def tasks_of(domains: Sequence[str]) -> list[str]:
    """Return the names that `mteb` has for sets of BRIGHT.

    Args:
        domains: names of sets, keys of `TASKS`.

    Returns:
        The names of the tasks, in the same order.

    Raises:
        ValueError: if a domain is unknown.
    """
    for domain in domains:
        if domain not in TASKS:
            raise ValueError(f"{domain!r} is no set of BRIGHT; expected {', '.join(TASKS)}.")
    return [TASKS[domain] for domain in domains]


def evaluate_bright(
    model: LLM2VecGen,
    domains: Sequence[str] = tuple(TASKS),
    *,
    instruction: str | None = None,
    max_length: int = MAX_LENGTH,
    results_folder: Path | None = None,
    show_progress: bool = False,
) -> Comparison:
    """Measure a model on BRIGHT; `mteb` downloads the data.

    Args:
        model: the model.
        domains: which sets, by their names in `TASKS`.
        instruction: put before every query; None takes each set's published one.
        max_length: see `LLM2VecGen.encode`.
        results_folder: see `run_tasks`.
        show_progress: whether to show progress bars.

    Returns:
        nDCG@10 of each set, and their mean beside the paper's.

    Raises:
        ValueError: if a domain is unknown, or the model is no loaded one.
        OSError: if the data cannot be downloaded.
    """
    tasks = list(mteb.get_tasks(tasks=tasks_of(domains)))
    # of all sets, whichever are measured: kept results are found by all the encoder's settings
    instructions = {
        task: QUERY_INSTRUCTIONS[f"bright/{domain}"] if instruction is None else instruction
        for domain, task in TASKS.items()
    }
    results = run_tasks(
        MtebEncoder(model, instructions, max_length),
        tasks,
        results_folder=results_folder,
        show_progress=show_progress,
    )
    scores = {result.task_name: 100 * result.get_score() for result in results}
    return compare(model.name, {domain: scores[TASKS[domain]] for domain in domains})


def compare(name: str, scores: dict[str, float]) -> Comparison:
    """Put scores beside the paper's, which has one figure: the mean over all 12 sets.

    Args:
        name: the model's name.
        scores: nDCG@10 in percent, by domain.

    Returns:
        The mean, then each set.
    """
    paper = published_figures(name)
    whole = set(scores) == set(TASKS)
    figures = (paper.model.bright, paper.teacher.bright) if whole else (None, None)
    average = Line(f"mean of {len(scores)}", mean(list(scores.values())), *figures)
    lines = tuple(Line(domain, score) for domain, score in scores.items())
    return Comparison(benchmark="BRIGHT, nDCG@10 in %", lines=(average, *lines))
