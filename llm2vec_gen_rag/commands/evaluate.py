"""`eval`: measure a model on the almanac's held-out questions; `eval NAME`, on a benchmark."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.measures import add_measures
from llm2vec_gen_rag.commands.options import (
    add_model_options,
    load_model,
    new_command,
    positive_int,
)
from llm2vec_gen_rag.commands.output import print_json, printable_lines

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Measure a model on the almanac's held-out questions: reasoning, safety, over-refusal.

For comparison, its teacher embeds the question itself, and as the ceiling the LLM writes
its answer and the teacher embeds that. `eval NAME` runs one of the benchmarks below."""

EXAMPLES = """\
  llm2vec-gen-rag eval
  llm2vec-gen-rag eval --limit 100 --json > figures.json"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "eval", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help="questions of each kind, for a quick look (default: all)",
    )
    add_model_options(parser)
    add_measures(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from llm2vec_gen_rag.evaluation.almanac import evaluate

    report = evaluate(load_model(arguments), limit=arguments.limit)
    if arguments.json:
        print_json(report.as_dict())
    else:
        print(printable_lines(report.as_text()))
