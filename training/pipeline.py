"""From unlabeled queries to a trained model, in three stages on one folder.

    respond              the frozen LLM answers the queries        (train responses)
    teach                a teacher embeds the answers              (train teach)
    fit_response_tokens  response tokens and heads learn from both (train fit)
    train                all three                                 (train)

Each stage reads what the one before it wrote to the folder (see `run_folder`). A stage that was
stopped resumes when the same call is made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.teachers.stored_vectors import write_teacher_vectors
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.outputs import FitResult
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.folder_lock import written_by_one
from llm2vec_gen_rag.training.recipe_teacher import read_vectors, recipe_teacher
from llm2vec_gen_rag.training.respond import respond
from llm2vec_gen_rag.training.responses.decoding import Decoding
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions, prompts_of
from llm2vec_gen_rag.training.run_folder import (
    MODEL_FOLDER,
    RESPONSES_FILE,
    TEACHER_FOLDER,
    VECTORS_FILE,
    AnsweredQueries,
    read_answered_queries,
    require_one_process,
)

__all__ = [
    "MODEL_FOLDER",
    "RESPONSES_FILE",
    "TEACHER_FOLDER",
    "VECTORS_FILE",
    "fit_response_tokens",
    "respond",
    "teach",
    "train",
]


def teach(
    recipe: Recipe,
    folder: str | Path,
    *,
    backbone: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str | torch.device | None = None,
    queries: Sequence[str] | None = None,
    show_progress: bool = False,
) -> Path:
    """Embed the folder's responses with the recipe's teacher and store the vectors.

    The teacher is not in memory after this call. Vectors in the folder that are already of this
    teacher and these responses are kept.

    Args:
        recipe: names the teacher.
        folder: of the run; gets `teacher_vectors.safetensors`, and a fitted teacher under
            `teacher/`.
        backbone: the frozen LLM, where `recipe.teacher_reads_llm`.
        tokenizer: its tokenizer.
        device: where a teacher that is loaded runs; None picks the best available.
        queries: those whose responses to embed; None embeds all in the folder.
        show_progress: show a progress bar.

    Returns:
        The file with the vectors.

    Raises:
        ValueError: if the responses stage has not finished, the texts or the vectors are unusable,
            or several processes were launched.
        MissingExtraError: if the teacher's extra is not installed.
        TeacherError: if it cannot be loaded.
        StorageError: if the vectors cannot be written, those so far are kept; or if another process
            writes to the folder.
    """
    require_one_process("teach", "it runs once, before the launch")
    folder = Path(folder)
    answered = read_answered_queries(folder, queries)
    path = folder / VECTORS_FILE
    with written_by_one(folder, "another process"):
        teacher = recipe_teacher(
            recipe, answered, folder, backbone=backbone, tokenizer=tokenizer, device=device
        )
        write_teacher_vectors(
            teacher, answered.answers, path, dtype=recipe.teacher_dtype, show_progress=show_progress
        )
    return path


def fit_response_tokens(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    folder: str | Path,
    *,
    queries: Sequence[str] | None = None,
    show_progress: bool = False,
) -> FitResult:
    """Train response tokens and heads on the folder's responses and teacher vectors.

    If the folder holds the finished model of this very run, nothing is done. The instruction of the
    queries, or the one that they begin with, becomes the model's own instruction for retrieval.
    Started by `accelerate launch`, every process makes this call with its own copy of the LLM.

    Args:
        backbone: the frozen LLM that wrote the responses.
        tokenizer: its tokenizer.
        recipe: every choice of the run.
        folder: of the run; gets the model under `model/`.
        queries: as `teach`.
        show_progress: show a progress bar.

    Returns:
        The model's folder and its losses.

    Raises:
        ValueError: if an earlier stage has not finished or used another LLM or teacher, or if the
            folder holds the training checkpoints or the finished model of another run.
        CheckpointError: if the folder holds the finished model of this run, damaged.
        NonFiniteError: if a loss is NaN or infinite.
        StorageError: if the folder cannot be written to, or the disk is full.
    """
    folder = Path(folder)
    answered = read_answered_queries(folder, queries)
    _require_same_llm(answered, backbone)
    vectors = read_vectors(folder, answered, recipe)
    untrained = weights_digest(backbone)
    model = LLM2VecGen.fresh(backbone, tokenizer, vectors.shape[1], recipe.initialisation)
    model.prompts = prompts_of(answered.origin)
    return fit(
        model,
        answered.questions,
        answered.answers,
        vectors,
        recipe,
        folder / MODEL_FOLDER,
        sources=Counter(answered.sources),
        untrained=untrained,
        show_progress=show_progress,
    )


def train(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    recipe: Recipe,
    folder: str | Path,
    *,
    brought: Sequence[Response] = (),
    instruction: str = "",
    search_instructions: SearchInstructions | None = None,
    decoding: Decoding = "greedy",
    batch_size: int = 64,
    show_progress: bool = False,
) -> FitResult:
    """Run all three stages: `respond`, `teach` and `fit_response_tokens`, which name the errors.

    Responses in the folder to other queries are ignored.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: the queries, without duplicates.
        recipe: every choice of the run.
        folder: gets the responses, the teacher, its vectors, and the model under `model/`.
        brought: as `respond`.
        instruction: as `respond`.
        search_instructions: as `respond`.
        decoding: as `respond`.
        batch_size: as `respond`.
        show_progress: show progress bars.

    Returns:
        The model's folder and its losses.
    """
    respond(
        backbone,
        tokenizer,
        queries,
        recipe,
        folder,
        brought=brought,
        instruction=instruction,
        search_instructions=search_instructions,
        decoding=decoding,
        batch_size=batch_size,
        show_progress=show_progress,
    )
    teach(
        recipe,
        folder,
        backbone=backbone,
        tokenizer=tokenizer,
        device=backbone.device,
        queries=queries,
        show_progress=show_progress,
    )
    return fit_response_tokens(
        backbone, tokenizer, recipe, folder, queries=queries, show_progress=show_progress
    )


def _require_same_llm(answered: AnsweredQueries, backbone: PreTrainedModel) -> None:
    """Raise ValueError if another LLM wrote the answers; a server's weights are unknown."""
    weights = answered.origin.get("weights")
    if weights is not None and weights != weights_digest(backbone):
        raise ValueError(
            f"the responses were written by {answered.origin['model']}, and {base_name(backbone)} "
            f"in {backbone.dtype} has other weights; expected the same LLM in the same dtype. Load "
            "that one, or let this one write its own responses into another folder."
        )
