"""The benchmarks of `eval NAME`: each reads its data, loads the model and measures it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.options import load_model, shows_progress

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen


@dataclass(frozen=True)
class Outcome:
    """What a benchmark gave.

    Attributes:
        model: the model that was measured.
        text: the figures for people.
        figures: the figures as JSON can hold them.
        seed: of what was drawn at random; None if nothing was.
    """

    model: LLM2VecGen
    text: str
    figures: dict[str, Any]
    seed: int | None = None


def measure_mteb(arguments: argparse.Namespace) -> Outcome:
    """Measure on tasks of MTEB(eng, v2)."""
    from llm2vec_gen_rag.evaluation.mteb_tasks import SEED as MTEB_SEED
    from llm2vec_gen_rag.evaluation.mteb_tasks import benchmark_tasks, evaluate_mteb

    benchmark_tasks(arguments.tasks)  # reports a misspelt name before the model is loaded
    model = load_model(arguments)
    figures = evaluate_mteb(
        model,
        arguments.tasks,
        instruction=arguments.instruction,
        max_length=arguments.max_length,
        results_folder=arguments.results,
        show_progress=shows_progress(),
    )
    return Outcome(model, figures.as_text(), asdict(figures), MTEB_SEED)


def measure_bright(arguments: argparse.Namespace) -> Outcome:
    """Measure on sets of BRIGHT."""
    from llm2vec_gen_rag.evaluation.bright import TASKS, evaluate_bright, tasks_of

    domains = arguments.domains.split(",") if arguments.domains else tuple(TASKS)
    tasks_of(domains)  # reports a misspelt name before the model is loaded
    model = load_model(arguments)
    figures = evaluate_bright(
        model,
        domains,
        instruction=arguments.instruction,
        max_length=arguments.max_length,
        results_folder=arguments.results,
        show_progress=shows_progress(),
    )
    return Outcome(model, figures.as_text(), asdict(figures))


def measure_advbench(arguments: argparse.Namespace) -> Outcome:
    """Measure on a folder of AdvBench-IR."""
    from llm2vec_gen_rag.evaluation.advbench_ir import AdvBench, evaluate_advbench

    data = AdvBench.from_folder(arguments.data)
    model = load_model(arguments)
    report = evaluate_advbench(
        model,
        data,
        instruction=arguments.instruction,
        max_length=arguments.max_length,
        show_progress=shows_progress(),
    )
    return Outcome(model, report.comparison().as_text(), asdict(report))


def measure_beir(arguments: argparse.Namespace) -> Outcome:
    """Measure on folders in the BEIR layout, compare ways to search them, or fit hybrid search."""
    if arguments.encoder and not arguments.compare:
        raise ValueError(f"--encoder {arguments.encoder} is read with --compare only; add it.")
    if arguments.tune_hybrid:
        return tune_hybrid(arguments)
    if arguments.compare:
        return compare_ways(arguments)
    from llm2vec_gen_rag.evaluation.beir_folder import FolderTask, evaluate_folder, folder_table

    tasks = [FolderTask(folder, arguments.split) for folder in arguments.folders]
    model = load_model(arguments)
    reports = [
        evaluate_folder(
            model,
            task,
            instruction=arguments.instruction,
            max_length=arguments.max_length,
            show_progress=shows_progress(),
        )
        for task in tasks
    ]
    return Outcome(model, folder_table(reports), {"folders": [asdict(r) for r in reports]})


def compare_ways(arguments: argparse.Namespace) -> Outcome:
    """Measure a model on folders beside what a user could take instead."""
    from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
    from llm2vec_gen_rag.evaluation.compared_folder import compare_folder, compared_table
    from llm2vec_gen_rag.evaluation.hybrid import SEED
    from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher

    tasks = [FolderTask(folder, arguments.split) for folder in arguments.folders]
    encoder = (
        SentenceTransformersTeacher(arguments.encoder, device=arguments.device)
        if arguments.encoder
        else None
    )
    model = load_model(arguments)
    compared = [
        compare_folder(
            model,
            task,
            encoder=encoder,
            instruction=arguments.instruction,
            max_length=arguments.max_length,
            show_progress=shows_progress(),
        )
        for task in tasks
    ]
    figures = {"folders": [asdict(each) for each in compared]}
    return Outcome(model, compared_table(compared), figures, SEED)


def tune_hybrid(arguments: argparse.Namespace) -> Outcome:
    """Fit the weight of hybrid search on folders in the BEIR layout."""
    from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
    from llm2vec_gen_rag.evaluation.hybrid import SEED
    from llm2vec_gen_rag.evaluation.hybrid_folder import tune_folder

    tasks = [FolderTask(folder, arguments.split) for folder in arguments.folders]
    model = load_model(arguments)
    tuned = [
        tune_folder(
            model,
            task,
            instruction=arguments.instruction,
            max_length=arguments.max_length,
            show_progress=shows_progress(),
        )
        for task in tasks
    ]
    text = "\n\n".join(each.as_text() for each in tuned)
    return Outcome(model, text, {"folders": [asdict(each) for each in tuned]}, SEED)


def measure_refusals(arguments: argparse.Namespace) -> Outcome:
    """Measure how far refusals carry to a folder of prompts."""
    from llm2vec_gen_rag.evaluation.refusals import PromptSet, evaluate_refusals

    prompts = PromptSet.from_folder(arguments.data)
    model = load_model(arguments)
    report = evaluate_refusals(
        model,
        prompts,
        instruction=arguments.instruction,
        seed=arguments.seed,
        show_progress=shows_progress(),
    )
    return Outcome(model, report.as_text(), asdict(report), arguments.seed)
