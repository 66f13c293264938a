"""The teacher that a recipe names, and whether stored vectors are of it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.files import read_json, storing, write_json
from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.teachers.stored_vectors import (
    StoredVectors,
    read_teacher_vectors,
    texts_digest,
)
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.run_folder import TEACHER_FOLDER, VECTORS_FILE, AnsweredQueries

FITTED_ON = "fitted_on.json"
_MEAN_OF = "mean of "


def recipe_teacher(
    recipe: Recipe,
    answered: AnsweredQueries,
    folder: Path,
    *,
    backbone: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase | None,
    device: str | torch.device | None,
) -> Teacher:
    """Return the recipe's teacher, loaded or fitted.

    A TF-IDF teacher is fitted on answers and queries, so that it knows the words of both, and is
    saved in the folder, to be compared with later.

    Args:
        recipe: names the teacher.
        answered: what a TF-IDF teacher is fitted on.
        folder: of the run.
        backbone: the frozen LLM, for the teacher "backbone-mean".
        tokenizer: its tokenizer.
        device: where a teacher that is loaded runs; None picks the best available.

    Returns:
        The teacher.

    Raises:
        ValueError: if the teacher is the frozen LLM and that is not given, or the texts give a
            TF-IDF teacher nothing to fit on.
        MissingExtraError: if the teacher's extra is not installed.
        TeacherError: if it cannot be loaded.
        StorageError: if a fitted one cannot be saved.
    """
    if recipe.teacher == "backbone-mean":
        if backbone is None or tokenizer is None:
            raise ValueError(
                "the recipe's teacher is 'backbone-mean', the frozen LLM itself; pass backbone= "
                "and tokenizer="
            )
        return BackboneMeanTeacher(backbone, tokenizer, name=_MEAN_OF + base_name(backbone))
    if recipe.teacher == "llm2vec":
        base_model = recipe.teacher_base_model or None
        return LLM2VecTeacher.load(recipe.teacher_model, base_model=base_model, device=device)
    if recipe.teacher == "sentence-transformers":
        return SentenceTransformersTeacher(recipe.teacher_model, device=device)
    return _tfidf_teacher(recipe, answered, folder / TEACHER_FOLDER)


def _tfidf_teacher(recipe: Recipe, answered: AnsweredQueries, folder: Path) -> TfidfTeacher:
    """Return the teacher that was fitted on these texts before, or fit and save one.

    Fitted again with another number of threads, it would differ in its last bits: stored vectors
    would be another teacher's, and a stopped run could not resume.
    """
    kind = recipe.teacher.removeprefix("tfidf-")
    texts = [*dict.fromkeys(answered.answers), *answered.queries]
    choices = {"dimension": recipe.teacher_dimension, "seed": recipe.seed}
    fitted_on = {"kind": kind, **choices, "texts_sha256": texts_digest(texts)}
    record = folder / FITTED_ON
    if record.is_file() and read_json(record) == fitted_on:
        return TfidfTeacher.load(folder)
    teacher = TfidfTeacher.fit(kind, texts, **choices)
    with storing(f"the teacher in {folder}", "the responses are kept"):
        record.unlink(missing_ok=True)
        teacher.save(folder)
        write_json(record, fitted_on)
    return teacher


def read_vectors(folder: Path, answered: AnsweredQueries, recipe: Recipe) -> StoredVectors:
    """Return the vectors of these answers by the recipe's teacher, as a memory map.

    Args:
        folder: of the run.
        answered: the answers.
        recipe: names the teacher.

    Returns:
        (answers, dimension), float16 or float32.

    Raises:
        ValueError: if there are none, or those there are of another teacher or other answers.
    """
    path = folder / VECTORS_FILE
    again = f"run: llm2vec-gen-rag train teach --output {folder}, with the same recipe"
    if not path.is_file():
        begun = path.with_name(path.name + ".unfinished").is_file()
        found = "the teacher vectors are unfinished" if begun else "there are no teacher vectors"
        raise ValueError(f"{found} in {folder}; {again}")
    try:
        with safe_open(path, framework="numpy") as file:
            found = (file.metadata() or {}).get("teacher", "")
        vectors = read_teacher_vectors(path, answered.answers)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{error}. For that, {again}") from error
    if not _is_of(recipe, found):
        raise ValueError(
            f"{path} holds the vectors of {found!r}; the recipe's teacher is {recipe.teacher!r} "
            f"{recipe.teacher_model or recipe.teacher_dimension}. Choose the recipe that the "
            f"vectors were made with, or {again}"
        )
    return vectors


def _is_of(recipe: Recipe, name: str) -> bool:
    """Return whether the teacher of that name is the recipe's."""
    if recipe.teacher == "backbone-mean":
        return name.startswith(_MEAN_OF)
    if recipe.teacher_model:
        return name.rstrip("/") == recipe.teacher_model.rstrip("/")
    return name == f"{recipe.teacher}-{recipe.teacher_dimension}"
