"""From unlabeled queries to a trained model: answers, teacher vectors, response tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone import base_name
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.responses import read_responses, write_responses
from llm2vec_gen_rag.training.teachers import (
    BackboneMeanTeacher,
    Teacher,
    TfidfTeacher,
    read_teacher_vectors,
    write_teacher_vectors,
)
from llm2vec_gen_rag.training.trainer import FitResult, fit

RESPONSES_FILE = "responses.jsonl"
TEACHER_FOLDER = "teacher"
VECTORS_FILE = "teacher_vectors.safetensors"
MODEL_FOLDER = "model"


def train(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    recipe: Recipe,
    folder: str | Path,
    *,
    show_progress: bool = False,
) -> FitResult:
    """Train response tokens for a frozen LLM from nothing but queries.

    Answers already in the folder are kept, so a run that was stopped while the LLM was writing goes
    on where it was.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: the queries, each with its instruction, without duplicates.
        recipe: every choice of the run.
        folder: gets the responses, the teacher, its vectors, and the model under `model/`.
        show_progress: show progress bars.

    Raises:
        ValueError: if the queries are unusable, or the folder holds another model's answers.
        NonFiniteError: if a loss is NaN or infinite.
    """
    folder = Path(folder)
    answers = _answers(backbone, tokenizer, queries, recipe, folder, show_progress=show_progress)
    teacher = _teacher(backbone, tokenizer, queries, answers, recipe, folder)
    write_teacher_vectors(teacher, answers, folder / VECTORS_FILE)
    model = LLM2VecGen.initialise(
        backbone,
        tokenizer,
        response_tokens=recipe.response_tokens,
        compression_tokens=recipe.compression_tokens,
        dimension=teacher.dimension,
        seed=recipe.seed,
        lora_rank=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
    )
    return fit(
        model,
        queries,
        answers,
        read_teacher_vectors(folder / VECTORS_FILE, answers),
        recipe,
        folder / MODEL_FOLDER,
        show_progress=show_progress,
    )


def _answers(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    recipe: Recipe,
    folder: Path,
    *,
    show_progress: bool,
) -> list[str]:
    """Return the LLM's answer to each query, in the order of the queries."""
    path = folder / RESPONSES_FILE
    write_responses(
        backbone,
        tokenizer,
        queries,
        path,
        max_new_tokens=recipe.max_new_tokens,
        show_progress=show_progress,
    )
    answers = {response.query: response.response for response in read_responses(path)}
    return [answers[query] for query in queries]


def _teacher(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    answers: Sequence[str],
    recipe: Recipe,
    folder: Path,
) -> Teacher:
    """Return the recipe's teacher; one that was fitted is kept, to be compared with later.

    It is fitted on answers and queries, so that it knows the words of what it is compared on.
    """
    if recipe.teacher == "backbone-mean":
        return BackboneMeanTeacher(backbone, tokenizer, name=f"mean of {base_name(backbone)}")
    teacher = TfidfTeacher.fit(
        recipe.teacher.removeprefix("tfidf-"),
        [*dict.fromkeys(answers), *queries],
        dimension=recipe.teacher_dimension,
        seed=recipe.seed,
    )
    teacher.save(folder / TEACHER_FOLDER)
    return teacher
