"""`eval NAME`: the paper's benchmarks and local data, each with what made its figures."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.options import (
    add_model_options,
    load_model,
    positive_int,
    shows_progress,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers
    from llm2vec_gen_rag.model import LLM2VecGen

MTEB = """\
The paper's 41 tasks of MTEB(eng, v2), its figures beside the measured ones.

The mteb library downloads each task's data from the Hugging Face hub. Every task has its
published instruction. With --results, finished tasks are kept and not measured again."""

BRIGHT = """\
BRIGHT, 12 sets of questions that take a thought; the paper's figure beside the measured one.

The mteb library downloads the data from the Hugging Face hub. Texts are read up to 4,096
tokens, as in the paper."""

ADVBENCH_IR = """\
AdvBench-IR: how often a harmful request finds a harmful passage; lower is safer.

The folder holds harmful.jsonl {"ID", "query", "title", "document"} and wikipedia.jsonl
{"ID", "title", "passage"}. The paper's data is on the Hugging Face hub (you may have to
accept its terms there): save the train splits of McGill-NLP/AdvBench-IR and
McGill-NLP/AdvBench-IR-Small-Wiki-100 with datasets' to_json under these names."""

BEIR = """\
Retrieval in local folders of the BEIR layout, by the same code as MTEB's tasks.

A folder holds corpus.jsonl {"_id", "title", "text"}, queries.jsonl {"_id", "text"} and
qrels.tsv (query-id, corpus-id, score); or queries_SPLIT.jsonl, and qrels_SPLIT.tsv or
qrels/SPLIT.tsv."""

REFUSALS = """\
How far refusals carry: harmful prompts and safe look-alikes that the model never saw.

The folder holds pairs.jsonl {"harmful", "benign"}, such as JailbreakBench's, or
prompts.jsonl {"prompt", "label"} with the labels safe and unsafe, such as XSTest's."""

SEED = 42


@dataclass(frozen=True)
class Outcome:
    """What a measure came to.

    Attributes:
        model: what was measured.
        text: the figures for people.
        figures: the figures as JSON can hold them.
        seed: of what was drawn at random; None where nothing was.
    """

    model: LLM2VecGen
    text: str
    figures: dict[str, Any]
    seed: int | None = None


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Declare the measures below `eval`."""
    subparsers = parser.add_subparsers(title="other measures", metavar="NAME", dest="measure")
    mteb = _add(subparsers, "mteb", _measure_mteb, MTEB)
    mteb.add_argument(
        "--tasks",
        default="all",
        metavar="all|lite|NAMES",
        help="all 41 (the default), the paper's lite list of 10, or names with commas between",
    )
    _add_results(mteb)
    bright = _add(subparsers, "bright", _measure_bright, BRIGHT, max_length=4096)
    bright.add_argument(
        "--domains", default=None, metavar="NAMES", help="with commas between (default: all 12)"
    )
    _add_results(bright)
    advbench = _add(subparsers, "advbench-ir", _measure_advbench, ADVBENCH_IR)
    advbench.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    beir = _add(subparsers, "beir", _measure_beir, BEIR)
    beir.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    beir.add_argument("--split", default="test", help="where a folder holds several")
    refusals = _add(subparsers, "refusals", _measure_refusals, REFUSALS, max_length=None)
    refusals.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    refusals.add_argument(
        "--seed", type=int, default=SEED, help="of the interval of the AUC (default: 42)"
    )


def _add(
    subparsers: Subparsers,
    name: str,
    measured_by: Callable[[argparse.Namespace], Outcome],
    summary: str,
    *,
    max_length: int | None = 512,
) -> argparse.ArgumentParser:
    """One measure; options of the model may stand before or behind its name."""
    parser = subparsers.add_parser(
        name,
        help=summary.split("\n", 1)[0],
        description=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--json",
        dest="json_file",
        type=Path,
        default=None,
        metavar="FILE",
        help="also write the figures here, with all that made them",
    )
    parser.add_argument(
        "--instruction",
        default=None,
        metavar="TEXT",
        help="put before every query in place of the published instruction",
    )
    if max_length is not None:
        parser.add_argument(
            "--max-length",
            type=positive_int,
            default=max_length,
            metavar="N",
            help=f"tokens read of a text (default: {max_length})",
        )
    add_model_options(parser)
    parser.set_defaults(run=_run, measured_by=measured_by)
    return parser


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="keep each finished task here, and do not measure it again",
    )


def _run(arguments: argparse.Namespace) -> None:
    """Measure, print the figures with what made them, and write them."""
    if arguments.json or arguments.limit is not None:
        raise ValueError(
            f"--json and --limit before {arguments.measure!r} belong to the almanac; expected "
            f"`eval {arguments.measure} ...` with --json FILE behind."
        )
    target = arguments.json_file
    if target is not None and not target.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {target.absolute().parent}; make it before --json.")
    if target is not None and target.is_dir():
        raise ValueError(f"--json {target} is a folder; expected the name of a file to write.")
    from llm2vec_gen_rag.evaluation.provenance import checkout_commit, provenance

    commit = checkout_commit()
    outcome = arguments.measured_by(arguments)
    command = shlex.join(["llm2vec-gen-rag", *arguments.argv])
    made_by = provenance(outcome.model, command, outcome.seed, commit)
    print(f"{outcome.model.name}\n\n{outcome.text}\n\n{made_by.as_text()}")
    if target is not None:
        content = {"made_by": asdict(made_by), "figures": outcome.figures}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        target.write_text(text, encoding="utf-8")


def _measure_mteb(arguments: argparse.Namespace) -> Outcome:
    from llm2vec_gen_rag.evaluation.mteb_tasks import SEED as MTEB_SEED
    from llm2vec_gen_rag.evaluation.mteb_tasks import benchmark_tasks, evaluate_mteb

    benchmark_tasks(arguments.tasks)  # a misspelt name is told before the model is loaded
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


def _measure_bright(arguments: argparse.Namespace) -> Outcome:
    from llm2vec_gen_rag.evaluation.bright import TASKS, evaluate_bright, tasks_of

    domains = arguments.domains.split(",") if arguments.domains else tuple(TASKS)
    tasks_of(domains)  # a misspelt name is told before the model is loaded
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


def _measure_advbench(arguments: argparse.Namespace) -> Outcome:
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


def _measure_beir(arguments: argparse.Namespace) -> Outcome:
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


def _measure_refusals(arguments: argparse.Namespace) -> Outcome:
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
