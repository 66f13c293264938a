"""From unlabeled queries to a trained model: answers, teacher vectors, response tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone import base_name
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.head_start import start_heads
from llm2vec_gen_rag.training.responses import read_answers, write_responses
from llm2vec_gen_rag.training.teachers import (
    BackboneMeanTeacher,
    LLM2VecTeacher,
    SentenceTransformersTeacher,
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
        TeacherError: if the recipe's teacher cannot be loaded.
        NonFiniteError: if a loss is NaN or infinite.
    """
    folder = Path(folder)
    answers = _answers(backbone, tokenizer, queries, recipe, folder, show_progress=show_progress)
    teach(backbone, tokenizer, queries, answers, recipe, folder, show_progress=show_progress)
    vectors = read_teacher_vectors(folder / VECTORS_FILE, answers)
    model = LLM2VecGen.initialise(
        backbone,
        tokenizer,
        response_tokens=recipe.response_tokens,
        compression_tokens=recipe.compression_tokens,
        dimension=vectors.shape[1],
        initial_text=recipe.initial_text,
        seed=recipe.seed,
        lora_rank=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
    )
    if recipe.least_squares_rows:
        start_heads(model, queries, vectors, recipe)
    return fit(
        model,
        queries,
        answers,
        vectors,
        recipe,
        folder / MODEL_FOLDER,
        show_progress=show_progress,
    )


def teach(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    answers: Sequence[str],
    recipe: Recipe,
    folder: str | Path,
    *,
    show_progress: bool = False,
) -> None:
    """Store the vectors that the recipe's teacher gives the answers; no teacher outlives this call.

    Vectors already in the folder are kept, if they are of the same teacher and answers.

    Args:
        backbone: the frozen LLM, which is the teacher of "backbone-mean".
        tokenizer: its tokenizer.
        queries: the queries, whose words a TF-IDF teacher is to know.
        answers: the LLM's answer to each query.
        recipe: names the teacher.
        folder: gets `teacher_vectors.safetensors`, and a teacher that was fitted under `teacher/`.
        show_progress: show a progress bar.

    Raises:
        ValueError: if the texts or the vectors are unusable.
        MissingExtraError: if what the teacher runs on is not installed.
        TeacherError: if it cannot be loaded.
        OSError: if the vectors cannot be written.
    """
    folder = Path(folder)
    write_teacher_vectors(
        _teacher(backbone, tokenizer, queries, answers, recipe, folder),
        answers,
        folder / VECTORS_FILE,
        dtype=recipe.teacher_dtype,
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
    return read_answers(path, queries)


def _teacher(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    answers: Sequence[str],
    recipe: Recipe,
    folder: Path,
) -> Teacher:
    """Return the recipe's teacher; one that was fitted is kept, to be compared with later.

    A fitted one is fitted on answers and queries, so that it knows the words of what it is compared
    on.
    """
    if recipe.teacher == "backbone-mean":
        return BackboneMeanTeacher(backbone, tokenizer, name=f"mean of {base_name(backbone)}")
    if recipe.teacher == "llm2vec":
        return LLM2VecTeacher.load(recipe.teacher_model, device=backbone.device)
    if recipe.teacher == "sentence-transformers":
        return SentenceTransformersTeacher(recipe.teacher_model, device=backbone.device)
    teacher = TfidfTeacher.fit(
        recipe.teacher.removeprefix("tfidf-"),
        [*dict.fromkeys(answers), *queries],
        dimension=recipe.teacher_dimension,
        seed=recipe.seed,
    )
    teacher.save(folder / TEACHER_FOLDER)
    return teacher
