"""Short training runs that differ in one choice each: what `smollm2` is built with, beside others.

    python -m benchmarks.real_texts.variants --rows rows.jsonl --teacher FOLDER --output FOLDER

trains all variants in sequence, and resumes after an interruption.

    python -m benchmarks.real_texts --data FOLDER --variants FOLDER

measures them. They take a quarter of the first round's steps, so their figures compare with each
other and not with the model that ships.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag import prompts, smollm2
from llm2vec_gen_rag.backbone import load_base_tokenizer
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone
from llm2vec_gen_rag.evaluation.json_lines import read_rows
from llm2vec_gen_rag.training import pipeline
from llm2vec_gen_rag.training.config import Recipe, load_recipe
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions
from llm2vec_gen_rag.training.run_folder import read_answered_queries
from llm2vec_gen_rag.training.smollm2.rows import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTION

# of each kind: 100 steps of 32 see 3,200 of the 4,000 rows
TEXTS = 2_000
SHORT: dict[str, Any] = {"steps": 100, "least_squares_rows": 2_048, "refit_rows": 2_048}


@dataclass(frozen=True)
class Variant:
    """A run that differs from the first in one choice.

    Attributes:
        label: says in which.
        changes: what it changes in the recipe.
        summaries: whether a document stands for what the LLM writes when it is asked for a summary,
            and not for its own text.
    """

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    summaries: bool = False


# by the name of the run's folder; the others are compared with the first
VARIANTS = {
    "base": Variant("6 response tokens, a document stands for its own text"),
    "base_seed_43": Variant("the same, a second seed", {"seed": 43}),
    "base_seed_44": Variant("the same, a third seed", {"seed": 44}),
    "summaries": Variant("a document stands for the LLM's summary of it", summaries=True),
    "tokens_3": Variant("3 response tokens", {"response_tokens": 3, "compression_tokens": 3}),
    "tokens_12": Variant("12 response tokens", {"response_tokens": 12, "compression_tokens": 12}),
    "thought_tokens_6": Variant(
        "6 thought tokens before the 6 that are read", {"response_tokens": 12}
    ),
    "initial_text": Variant(
        "response tokens that begin as *The answer to this question is:*",
        {"initial_text": "The answer to this question is:"},
    ),
}


def chosen_rows(path: Path) -> tuple[list[Response], list[Response]]:
    """Return questions and documents of the file, `TEXTS` of each, drawn with a fixed seed."""
    rows = read_rows(path, "query", "response")
    kinds = []
    for instruction in (QUERY_INSTRUCTION, DOCUMENT_INSTRUCTION):
        # a prompt of the safety policy does not stand for itself
        own = [row for row in rows if row["query"] == instruction + row["response"]]
        drawn = random.Random(0).sample(own, TEXTS)
        kinds.append([Response(row["query"], row["response"], True, "given") for row in drawn])
    questions, documents = kinds
    return questions, documents


def summarised(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Response],
    recipe: Recipe,
    folder: Path,
) -> list[Response]:
    """Return each document with what the LLM writes when it is asked for a summary.

    Args:
        backbone: the frozen LLM.
        tokenizer: its tokenizer.
        documents: each with its own text.
        recipe: says how long an answer may be.
        folder: keeps the summaries.
    """
    passages = [row.response for row in documents]
    pipeline.respond(
        backbone,
        tokenizer,
        passages,
        recipe,
        folder,
        instruction=prompts.DOCUMENT_INSTRUCTION,
        show_progress=True,
    )
    answered = read_answered_queries(folder, passages)  # in an order of its own
    summary_of = dict(zip(answered.queries, answered.answers, strict=True))
    return [
        dataclasses.replace(row, response=summary_of[row.response])
        for row in documents
        if summary_of[row.response].strip()
    ]


def load_llm(base_model: str) -> PreTrainedModel:
    """Return the LLM as it is on disk; a run changes the one that it has."""
    return load_backbone(base_model, torch.device("cpu"), torch.float32, BackboneOptions())


def train(rows: Sequence[Response], recipe: Recipe, folder: Path, base_model: str) -> None:
    """Train on rows that bring their instruction and the text that they stand for.

    Args:
        rows: the rows.
        recipe: every choice of the run.
        folder: of the run.
        base_model: the frozen LLM.
    """
    pipeline.train(
        load_llm(base_model),
        load_base_tokenizer(base_model),
        [row.query for row in rows],
        recipe,
        folder,
        brought=rows,
        search_instructions=SearchInstructions(QUERY_INSTRUCTION, DOCUMENT_INSTRUCTION),
        show_progress=True,
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="of training.smollm2.rows")
    parser.add_argument("--teacher", required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--output", type=Path, required=True, help="gets a folder a variant")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    base = dataclasses.replace(load_recipe("smollm2"), teacher_model=arguments.teacher, **SHORT)
    base_model = smollm2.find_llm()
    questions, documents = chosen_rows(arguments.rows)
    summaries = summarised(
        load_llm(base_model),
        load_base_tokenizer(base_model),
        documents,
        base,
        arguments.output / "written",
    )
    for name, variant in VARIANTS.items():
        logging.info("%s", name)
        recipe = dataclasses.replace(base, **variant.changes)
        rows = questions + (summaries if variant.summaries else documents)
        train(rows, recipe, arguments.output / name, base_model)


if __name__ == "__main__":
    main()
