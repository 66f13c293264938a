"""`train`: response tokens for a frozen LLM, from nothing but queries."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.commands.lines import read_lines
from llm2vec_gen_rag.commands.options import (
    add_device_options,
    new_command,
    quieten_loading,
    shows_progress,
)
from llm2vec_gen_rag.commands.output import print_json
from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS, Prompts

if TYPE_CHECKING:
    from llm2vec_gen_rag.commands.options import Subparsers

SUMMARY = """\
Train response tokens for a frozen LLM, from nothing but queries.

The LLM answers each query; response tokens and two linear heads learn to stand for the
answer. Run it again after an interruption, and answers already written are kept. The
trained model stands in OUTPUT/model."""

EXAMPLES = """\
  llm2vec-gen-rag train --base-model Qwen/Qwen3-0.6B --queries queries.txt --output mine
  llm2vec-gen-rag search "..." --model mine/model"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = new_command(subparsers, "train", run, summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "--base-model",
        metavar="NAME",
        help="the frozen LLM: a folder or a hub id (default: the recipe's, if it has one)",
    )
    parser.add_argument(
        "--queries", required=True, metavar="FILE", help="UTF-8, one query a line; - for the input"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FOLDER", help="gets all that is made"
    )
    parser.add_argument(
        "--recipe",
        default="almanac",
        metavar="NAME_OR_FILE",
        help="every choice of the run: a bundled recipe, or a .yaml file (default: almanac)",
    )
    parser.add_argument(
        "--instruction",
        default=QUERY_INSTRUCTIONS["retrieval"],
        metavar="TEXT",
        help="put before every query, and remembered for searching "
        f'(default: "{QUERY_INSTRUCTIONS["retrieval"]}")',
    )
    add_device_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Train, and say what came of it."""
    require_extra("train", "accelerate", "matplotlib", "sklearn")
    from llm2vec_gen_rag.training.config import load_recipe
    from llm2vec_gen_rag.training.pipeline import train

    recipe = load_recipe(arguments.recipe)
    base_model = arguments.base_model or recipe.base_model
    if not base_model:
        raise ValueError(
            f"recipe {arguments.recipe} is for no LLM in particular; name one with --base-model"
        )
    queries = _queries(arguments.queries, arguments.instruction)
    quieten_loading()
    backbone, tokenizer = _load(base_model, arguments)
    result = train(
        backbone, tokenizer, queries, recipe, arguments.output, show_progress=shows_progress()
    )
    instructions = {**QUERY_INSTRUCTIONS, "retrieval": arguments.instruction}
    Prompts(query=instructions).save(result.folder)
    if arguments.json:
        print_json(
            {
                "model": str(result.folder),
                "queries": len(queries),
                "steps": recipe.steps,
                "seconds": result.seconds,
                "reconstruction": result.reconstruction,
                "alignment": result.alignment,
            }
        )
    else:
        print(
            f"{len(queries)} queries, {recipe.steps} steps in {result.seconds:.0f} s: "
            f"reconstruction loss {result.reconstruction:.4f}, alignment loss "
            f"{result.alignment:.6f}\n"
            f'load it with: LLM2VecGen.from_pretrained("{result.folder}")'
        )


def _queries(source: str, instruction: str) -> list[str]:
    """The queries behind their instruction, empty lines and repetitions left out."""
    lines = [line for line in read_lines(source) if line.strip()]
    if not lines:
        raise ValueError(f"{source} holds no query; expected one a line.")
    return [instruction + query for query in dict.fromkeys(lines)]


def _load(base_model: str, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The frozen LLM and its tokenizer."""
    from transformers import AutoTokenizer

    from llm2vec_gen_rag.backbone import (
        BackboneOptions,
        load_backbone,
        pick_device,
        pick_dtype,
    )

    device = pick_device(arguments.device)
    dtype = pick_dtype(arguments.dtype, device, None)
    backbone = load_backbone(base_model, device, dtype, BackboneOptions())
    return backbone, AutoTokenizer.from_pretrained(base_model)
