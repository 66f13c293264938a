"""`train teach | fit`: the stages that read what an earlier stage wrote."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.options import new_command, shows_progress
from llm2vec_gen_rag.commands.output import print_json, quoted
from llm2vec_gen_rag.commands.train_options import (
    add_llm_options,
    add_run_options,
    answering_model_of,
    load_llm,
    refuse_unread,
    report_fit,
    require_stage_first,
    require_training_extra,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

TEACH = """\
Second stage: the recipe's teacher embeds the responses, once; its vectors are stored.

It reads the responses in OUTPUT, those of all shards. Run it again after an interruption,
and it resumes. The teacher is not in memory afterwards."""

TEACH_EXAMPLES = """\
  llm2vec-gen-rag train teach --output mine
  llm2vec-gen-rag train teach --output mine --recipe qwen3-8b --device cuda:1"""

FIT = """\
Third stage: response tokens and two linear heads learn from responses and teacher vectors.

It reads what the first two stages wrote to OUTPUT. After an interruption it resumes from its
last training checkpoint. The model is written to OUTPUT/model, in the published format; if
it is already finished there, nothing is done. Under accelerate launch, several GPUs share
each step."""

FIT_EXAMPLES = """\
  llm2vec-gen-rag train fit --output mine
  accelerate launch --num_processes 2 -m llm2vec_gen_rag.cli train fit --output mine"""

UNREAD_BY_TFIDF = ("base_model", "dtype", "device")


def add_teach(subparsers: Subparsers) -> None:
    """Declare the second stage."""
    parser = new_command(subparsers, "teach", _teach, summary=TEACH, examples=TEACH_EXAMPLES)
    add_run_options(parser)
    add_llm_options(
        parser, default="the one that wrote the responses; where a recipe's teacher is the LLM"
    )


def add_fit(subparsers: Subparsers) -> None:
    """Declare the third stage."""
    parser = new_command(subparsers, "fit", _fit, summary=FIT, examples=FIT_EXAMPLES)
    add_run_options(parser)
    add_llm_options(parser, default="the one that wrote the responses")


def _teach(arguments: argparse.Namespace) -> None:
    """Let the recipe's teacher embed the responses."""
    require_stage_first(arguments)
    require_training_extra()
    from llm2vec_gen_rag.training.config import load_recipe
    from llm2vec_gen_rag.training.pipeline import teach
    from llm2vec_gen_rag.training.run_folder import read_answered_queries

    recipe = load_recipe(arguments.recipe)
    answered = read_answered_queries(arguments.output)
    llm: dict[str, Any] = {}
    if recipe.teacher_reads_llm:
        base_model = answering_model_of(arguments, recipe, answered)
        llm["backbone"], llm["tokenizer"] = load_llm(base_model, arguments)
    else:
        unread = ("base_model", "dtype") if recipe.teacher_model else UNREAD_BY_TFIDF
        refuse_unread(arguments, unread, f"is not read by the recipe's teacher, {recipe.teacher}")
    path = teach(
        recipe, arguments.output, device=arguments.device, show_progress=shows_progress(), **llm
    )
    teacher = f"{recipe.teacher} {recipe.teacher_model}".strip()
    if arguments.json:
        print_json({"vectors": str(path), "answers": len(answered.answers), "teacher": teacher})
    else:
        print(
            f"{len(answered.answers)} responses embedded by {quoted(teacher)}, in "
            f"{quoted(path)}\n"
            f"next: llm2vec-gen-rag train fit --output {quoted(arguments.output)} "
            f"--recipe {quoted(arguments.recipe)}"
        )


def _fit(arguments: argparse.Namespace) -> None:
    """Train on what the earlier stages wrote."""
    require_stage_first(arguments)
    require_training_extra()
    from llm2vec_gen_rag.training.config import load_recipe
    from llm2vec_gen_rag.training.pipeline import fit_response_tokens
    from llm2vec_gen_rag.training.recipe_teacher import read_vectors
    from llm2vec_gen_rag.training.run_folder import read_answered_queries

    recipe = load_recipe(arguments.recipe)
    answered = read_answered_queries(arguments.output)
    read_vectors(arguments.output, answered, recipe)  # reports what is missing before the LLM loads
    backbone, tokenizer = load_llm(answering_model_of(arguments, recipe, answered), arguments)
    result = fit_response_tokens(
        backbone, tokenizer, recipe, arguments.output, show_progress=shows_progress()
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes, one reports
        report_fit(arguments, len(answered.queries), recipe, result)
