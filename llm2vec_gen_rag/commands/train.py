"""`train`: train response tokens for a frozen LLM from nothing but queries, in three stages."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from llm2vec_gen_rag.commands.options import new_command, shows_progress
from llm2vec_gen_rag.commands.train_options import (
    add_llm_options,
    add_run_options,
    base_model_of,
    load_llm,
    report_fit,
    require_training_extra,
)
from llm2vec_gen_rag.commands.train_queries import (
    BATCH_SIZE,
    add_query_options,
    query_rows_of,
    search_instructions_of,
)
from llm2vec_gen_rag.commands.train_responses import add_responses
from llm2vec_gen_rag.commands.train_stages import add_fit, add_teach

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Train response tokens for a frozen LLM, from nothing but queries.

The LLM answers each query; a teacher embeds the answers; response tokens and two linear
heads learn to stand for them. Run it again after an interruption, and it resumes. The
trained model is in OUTPUT/model. The three stages are also commands."""

EXAMPLES = """\
  llm2vec-gen-rag train --base-model Qwen/Qwen3-0.6B --queries queries.txt --output mine
  llm2vec-gen-rag search "..." --model mine/model"""

REQUIRED = ("queries", "output")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command and its stages."""
    parser = new_command(subparsers, "train", run, summary=SUMMARY, examples=EXAMPLES)
    add_run_options(parser, required=False)  # `run` requires them; a stage has options of its own
    add_query_options(parser, required=False)
    add_llm_options(parser, default="the recipe's, if it has one")
    parser.set_defaults(wrong_usage=parser.error)
    stages = parser.add_subparsers(title="stages", metavar="STAGE", dest="stage")
    for add_stage in (add_responses, add_teach, add_fit):
        add_stage(stages)


def run(arguments: argparse.Namespace) -> None:
    """Train in all three stages, and report the losses."""
    missing = [f"--{name}" for name in REQUIRED if getattr(arguments, name) is None]
    if missing:
        arguments.wrong_usage(f"the following arguments are required: {', '.join(missing)}")
    require_training_extra()
    from llm2vec_gen_rag.training.config import load_recipe
    from llm2vec_gen_rag.training.pipeline import train

    recipe = load_recipe(arguments.recipe)
    base_model = base_model_of(arguments, recipe)
    rows = query_rows_of(arguments)
    backbone, tokenizer = load_llm(base_model, arguments)
    result = train(
        backbone,
        tokenizer,
        rows.queries,
        recipe,
        arguments.output,
        brought=rows.brought,
        instruction=arguments.instruction,
        search_instructions=search_instructions_of(arguments),
        decoding=arguments.decoding,
        batch_size=arguments.batch_size or BATCH_SIZE,
        show_progress=shows_progress(),
    )
    report_fit(arguments, len(rows.queries), recipe, result)
