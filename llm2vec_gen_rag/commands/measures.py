"""`eval NAME`: the options of each benchmark, and its figures printed with what made them."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.benchmarks import (
    Outcome,
    measure_advbench,
    measure_beir,
    measure_bright,
    measure_mteb,
    measure_refusals,
)
from llm2vec_gen_rag.commands.options import add_model_options, positive_int
from llm2vec_gen_rag.commands.output import finite, printable_lines, quoted

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

MTEB = """\
The paper's 41 tasks of MTEB(eng, v2), its figures beside the measured ones.

The mteb library downloads each task's data from the Hugging Face hub. Every task has its
published instruction. With --results, finished tasks are kept and not measured again."""

BRIGHT = """\
BRIGHT, 12 sets of questions that need reasoning; the paper's figure beside the measured one.

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


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Declare the benchmarks below `eval`."""
    subparsers = parser.add_subparsers(title="benchmarks", metavar="NAME", dest="measure")
    mteb = _add(subparsers, "mteb", measure_mteb, MTEB)
    mteb.add_argument(
        "--tasks",
        default="all",
        metavar="all|lite|NAMES",
        help="all 41 (the default), the paper's lite list of 10, or names with commas between",
    )
    _add_results(mteb)
    bright = _add(subparsers, "bright", measure_bright, BRIGHT, max_length=4096)
    bright.add_argument(
        "--domains", default=None, metavar="NAMES", help="with commas between (default: all 12)"
    )
    _add_results(bright)
    advbench = _add(subparsers, "advbench-ir", measure_advbench, ADVBENCH_IR)
    advbench.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    _add_beir(subparsers)
    refusals = _add(subparsers, "refusals", measure_refusals, REFUSALS, max_length=None)
    refusals.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    refusals.add_argument(
        "--seed", type=int, default=SEED, help="of the interval of the AUC (default: 42)"
    )


def _add_beir(subparsers: Subparsers) -> None:
    """Declare the options of `eval beir`."""
    beir = _add(subparsers, "beir", measure_beir, BEIR)
    beir.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    beir.add_argument("--split", default="test", help="where a folder holds several")
    instead = beir.add_mutually_exclusive_group()
    instead.add_argument(
        "--tune-hybrid",
        action="store_true",
        default=False,
        help="instead, fit the weight of the embedding in hybrid search on the judged queries",
    )
    instead.add_argument(
        "--compare",
        action="store_true",
        default=False,
        help="instead, measure beside BM25, hybrid search and the frozen LLM's own mean states",
    )
    beir.add_argument(
        "--encoder",
        default=None,
        metavar="NAME",
        help="with --compare, and beside this model of sentence-transformers: a hub id or a folder",
    )


def _add(
    subparsers: Subparsers,
    name: str,
    measured_by: Callable[[argparse.Namespace], Outcome],
    summary: str,
    *,
    max_length: int | None = 512,
) -> argparse.ArgumentParser:
    """Declare one benchmark; options of the model may precede or follow its name."""
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
        help="also write the figures to this file, with what made them",
    )
    parser.add_argument(
        "--instruction",
        default=None,
        metavar="TEXT",
        help="put before every query instead of the published instruction",
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
        help="keep each finished task's result here, and do not measure it again",
    )


def _run(arguments: argparse.Namespace) -> None:
    """Measure, print the figures with what made them, and write both to --json."""
    if arguments.json or arguments.limit is not None:
        raise ValueError(
            f"--json and --limit before {arguments.measure!r} apply to the almanac's questions "
            "only. --json must come after the benchmark's name: "
            f"`eval {arguments.measure} ... --json FILE`."
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
    text = f"{quoted(outcome.model.name)}\n\n{outcome.text}\n\n{made_by.as_text()}"
    print(printable_lines(text))
    if target is not None:
        content = {"made_by": asdict(made_by), "figures": outcome.figures}
        written = json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"
        target.write_text(written, encoding="utf-8")
