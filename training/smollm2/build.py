"""Build `smollm2`: texts -> rows -> embeddings like the teachers', in rounds -> a head that speaks.

    python -m llm2vec_gen_rag.training.smollm2.build --output FOLDER --questions FILE ...

Response tokens and low-rank updates learn to find: each row's embedding is trained towards the
teacher's vector of the text that it stands for. A second round goes on from there, on other rows
with longer passages, and a third one with the LLM's own whitened states beside the teacher. Then
the reconstruction head learns to speak, from the LLM's own answers and from the refusals, and
changes no embedding.

Every stage but the last keeps what it has done, and goes on when the same command is run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag import smollm2
from llm2vec_gen_rag.backbone import load_base_tokenizer
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone
from llm2vec_gen_rag.files import write_json
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.prompts import Prompts
from llm2vec_gen_rag.training import pipeline
from llm2vec_gen_rag.training.config import Recipe, load_recipe
from llm2vec_gen_rag.training.fit.initial_heads import refit_alignment_head
from llm2vec_gen_rag.training.fit.reconstruction_head import HeadRecipe, fit_reconstruction_head
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.recipe_teacher import read_vectors
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions
from llm2vec_gen_rag.training.run_folder import MODEL_FOLDER, read_answered_queries
from llm2vec_gen_rag.training.smollm2.bundle import write_bundled
from llm2vec_gen_rag.training.smollm2.rows import (
    DOCUMENT_INSTRUCTION,
    DRAWS,
    QUERY_INSTRUCTION,
    Amounts,
    Sources,
    add_source_options,
    rows,
    safety_rows,
    sources_of,
)

PROMPTS = Prompts(query={"retrieval": QUERY_INSTRUCTION}, document=DOCUMENT_INSTRUCTION)
HEAD_LOG = "reconstruction_head.json"
# the recipe of each round, by the name of its draw
RECIPES = {"retrieval": "smollm2", "further": "smollm2_further", "joined": "smollm2_joined"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """A training run from where the one before it ended, on other rows.

    Attributes:
        name: of its folder.
        amounts: texts of each kind.
        recipe: every choice of the run.
        seed: of the choice of rows.
    """

    name: str
    amounts: Amounts
    recipe: Recipe
    seed: int


def rounds() -> tuple[Round, ...]:
    """Return those of `smollm2`; all safety prompts are among the rows of each."""
    return tuple(
        Round(name, draw.amounts, load_recipe(RECIPES[name]), draw.seed)
        for name, draw in DRAWS.items()
    )


@dataclass(frozen=True)
class BuildRecipe:
    """Every choice of a build.

    Attributes:
        rounds: of the response tokens and the low-rank updates; the first begins untrained.
        head: of the reconstruction head.
        spoken: questions that the LLM answers, and as many documents at most, from which the head
            learns beside the refusals.
    """

    rounds: Sequence[Round] = field(default_factory=rounds)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    spoken: int = 768


def build(output: Path, sources: Sources, base_model: str, recipe: BuildRecipe) -> None:
    """Build `smollm2` into a folder.

    Args:
        output: gets a folder of each stage, and the model under `bundled/`.
        sources: where the texts are.
        base_model: the GGUF file of the frozen LLM.
        recipe: every choice.
    """
    backbone = load_backbone(base_model, torch.device("cpu"), torch.float32, BackboneOptions())
    tokenizer = load_base_tokenizer(base_model)
    first, *others = recipe.rounds
    chosen = rows(sources, first.amounts, seed=first.seed)
    trained = pipeline.train(
        backbone,
        tokenizer,
        [row.query for row in chosen],
        first.recipe,
        output / first.name,
        brought=chosen,
        search_instructions=SearchInstructions(QUERY_INSTRUCTION, DOCUMENT_INSTRUCTION),
        show_progress=True,
    )
    model = LLM2VecGen.from_pretrained(trained.folder, base_model=base_model, dtype="float32")
    model.prompts = PROMPTS
    for each in others:
        go_on(model, backbone, tokenizer, sources, each, output / each.name)
    spoken = spoken_rows(backbone, tokenizer, chosen, recipe, output / "answers")
    losses = fit_reconstruction_head(
        model,
        [row.query for row in spoken],
        [row.response for row in spoken],
        recipe.head,
        show_progress=True,
    )
    write_bundled(model, output / "bundled")
    write_json(output / HEAD_LOG, {"recipe": dataclasses.asdict(recipe.head), "losses": losses})


def go_on(
    model: LLM2VecGen,
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sources,
    current: Round,
    folder: Path,
) -> None:
    """Train a model further, in place.

    Where the teacher's vectors have another length than before, the alignment head begins anew, in
    closed form.

    Args:
        model: what an earlier round ended with.
        backbone: the frozen LLM; it answers nothing, since each row brings its text.
        tokenizer: its tokenizer.
        sources: where the texts are.
        current: the round.
        folder: gets what `pipeline.train` writes.
    """
    chosen, recipe = rows(sources, current.amounts, seed=current.seed), current.recipe
    queries = [row.query for row in chosen]
    pipeline.respond(backbone, tokenizer, queries, recipe, folder, brought=chosen)
    pipeline.teach(
        recipe, folder, backbone=backbone, tokenizer=tokenizer, queries=queries, show_progress=True
    )
    answered = read_answered_queries(folder, queries)
    vectors = read_vectors(folder, answered, recipe)
    before = model.fingerprint
    if vectors.shape[1] != model.dimension:
        model.alignment = nn.Linear(model.alignment.in_features, vectors.shape[1])
        refit_alignment_head(model, answered.questions, vectors, recipe)
    fit(
        model,
        answered.questions,
        answered.answers,
        vectors,
        recipe,
        folder / MODEL_FOLDER,
        untrained=before,
        show_progress=True,
    )


def spoken_rows(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chosen: list[Response],
    recipe: BuildRecipe,
    folder: Path,
) -> list[Response]:
    """Return what embeddings shall decode to: answers, refusals, and documents' own text.

    Args:
        backbone: the frozen LLM, which answers.
        tokenizer: its tokenizer.
        chosen: the training rows.
        recipe: how many.
        folder: gets the LLM's answers.

    Returns:
        Prompts with their instruction, each with its text.
    """
    refusals = [row for row in safety_rows() if not row.query.endswith(row.response)]
    refused = {row.query for row in refusals}
    asked = [
        row.response
        for row in chosen
        if row.query.startswith(QUERY_INSTRUCTION) and row.query not in refused
    ][: recipe.spoken]
    documents = [row for row in chosen if row.query.startswith(DOCUMENT_INSTRUCTION)]
    # the head reads no more of an answer than this
    asking = dataclasses.replace(recipe.rounds[0].recipe, max_new_tokens=recipe.head.answer_tokens)
    pipeline.respond(backbone, tokenizer, asked, asking, folder, show_progress=True)
    answered = read_answered_queries(folder, asked)
    answers = [
        Response(QUERY_INSTRUCTION + query, answer, True)
        for query, answer in zip(answered.queries, answered.answers, strict=True)
        if answer.strip()
    ]
    return [*answers, *refusals, *documents[: recipe.spoken]]


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to build into")
    add_source_options(parser)
    parser.add_argument("--teacher", required=True, help="folder of all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    taught = [
        dataclasses.replace(
            each, recipe=dataclasses.replace(each.recipe, teacher_model=arguments.teacher)
        )
        for each in rounds()
    ]
    build(arguments.output, sources_of(arguments), smollm2.find_llm(), BuildRecipe(rounds=taught))


if __name__ == "__main__":
    main()
