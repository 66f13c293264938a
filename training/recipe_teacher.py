"""The teacher that a recipe names, and whether stored vectors are of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.facts import base_name
from llm2vec_gen_rag.files import read_json, storing, write_json
from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.joined import BESIDE, JoinedTeacher
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.teachers.stored_vectors import (
    StoredVectors,
    read_teacher_vectors,
    texts_digest,
)
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.teachers.whitened_states import (
    WhitenedStatesTeacher,
    Whitening,
    unwhitened_states,
)
from llm2vec_gen_rag.training.config import LLM_TEACHERS, Recipe
from llm2vec_gen_rag.training.run_folder import TEACHER_FOLDER, VECTORS_FILE, AnsweredQueries

FITTED_ON, WHITENING_FITTED_ON = "fitted_on.json", "whitening_fitted_on.json"
WHITENED_TEXTS = 4_000  # distinct answers that a whitening is fitted on, at most
_MEAN_OF, _WHITENED = "mean of ", "whitened "

LLM = tuple[PreTrainedModel, PreTrainedTokenizerBase]
Fitted = TypeVar("Fitted", TfidfTeacher, Whitening)


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
    saved in the folder, to be compared with later; so is the whitening of the LLM's states.

    Args:
        recipe: names the teacher.
        answered: what a TF-IDF teacher or a whitening is fitted on.
        folder: of the run.
        backbone: the frozen LLM, where `recipe.teacher_reads_llm`.
        tokenizer: its tokenizer.
        device: where a teacher that is loaded runs; None picks the best available.

    Returns:
        The teacher.

    Raises:
        ValueError: if the teacher is the frozen LLM and that is not given, or the texts give a
            TF-IDF teacher or a whitening too little to fit on.
        MissingExtraError: if the teacher's extra is not installed.
        TeacherError: if it cannot be loaded.
        StorageError: if a fitted one cannot be saved.
    """
    llm = None if backbone is None or tokenizer is None else (backbone, tokenizer)
    if recipe.teacher == "llm2vec":
        base_model = recipe.teacher_base_model or None
        teacher: Teacher = LLM2VecTeacher.load(
            recipe.teacher_model, base_model=base_model, device=device
        )
    elif recipe.teacher == "sentence-transformers":
        teacher = SentenceTransformersTeacher(recipe.teacher_model, device=device)
    elif recipe.teacher == "backbone-mean":
        teacher = BackboneMeanTeacher(*_given(llm, recipe), name=_mean_of(_given(llm, recipe)[0]))
    elif recipe.teacher == "backbone-whitened":
        return _whitened_teacher(recipe, answered, folder / TEACHER_FOLDER, _given(llm, recipe))
    else:
        teacher = _tfidf_teacher(recipe, answered, folder / TEACHER_FOLDER)
    if not recipe.own_states_weight:
        return teacher
    own = _whitened_teacher(recipe, answered, folder / TEACHER_FOLDER, _given(llm, recipe))
    return JoinedTeacher(teacher, own, recipe.own_states_weight)


def _given(llm: LLM | None, recipe: Recipe) -> LLM:
    """Return the frozen LLM and its tokenizer, which this recipe needs."""
    if llm is None:
        teacher = recipe.teacher if recipe.teacher in LLM_TEACHERS else "own_states_weight"
        raise ValueError(
            f"the recipe's {teacher!r} reads the frozen LLM itself; pass backbone= and tokenizer="
        )
    return llm


def _tfidf_teacher(recipe: Recipe, answered: AnsweredQueries, folder: Path) -> TfidfTeacher:
    """Return the teacher that was fitted on these texts before, or fit and save one."""
    kind = recipe.teacher.removeprefix("tfidf-")
    texts = [*dict.fromkeys(answered.answers), *answered.queries]
    choices = {"dimension": recipe.teacher_dimension, "seed": recipe.seed}
    return _fitted_before(
        folder,
        FITTED_ON,
        {"kind": kind, **choices, "texts_sha256": texts_digest(texts)},
        TfidfTeacher.load,
        lambda: TfidfTeacher.fit(kind, texts, **choices),
    )


def _whitened_teacher(
    recipe: Recipe, answered: AnsweredQueries, folder: Path, llm: LLM
) -> WhitenedStatesTeacher:
    """Return the frozen LLM with a whitening of its states, fitted before or now, and saved."""
    distinct = [text for text in dict.fromkeys(answered.answers) if text]
    order = np.random.default_rng(recipe.seed).permutation(len(distinct))
    texts = [distinct[row] for row in np.sort(order[:WHITENED_TEXTS])]
    dimension, weights = recipe.teacher_dimension, weights_digest(llm[0])
    whitening = _fitted_before(
        folder,
        WHITENING_FITTED_ON,
        {"dimension": dimension, "weights": weights, "texts_sha256": texts_digest(texts)},
        Whitening.load,
        lambda: Whitening.fit(unwhitened_states(*llm, texts), dimension),
    )
    return WhitenedStatesTeacher(*llm, whitening, name=f"{_WHITENED}{_mean_of(llm[0])}-{dimension}")


def _fitted_before(
    folder: Path,
    record: str,
    fitted_on: dict[str, Any],
    load: Callable[[Path], Fitted],
    fit: Callable[[], Fitted],
) -> Fitted:
    """Return what was fitted on the same before, or fit and save it.

    Fitted again with another number of threads, it would differ in its last bits: stored vectors
    would be another teacher's, and a stopped run could not resume.
    """
    path = folder / record
    if path.is_file() and read_json(path) == fitted_on:
        return load(folder)
    fitted = fit()
    with storing(f"the teacher in {folder}", "the responses are kept"):
        path.unlink(missing_ok=True)
        fitted.save(folder)
        write_json(path, fitted_on)
    return fitted


def _mean_of(backbone: PreTrainedModel) -> str:
    return _MEAN_OF + base_name(backbone)


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
    first, _, second = name.partition(BESIDE)
    weight = f"{recipe.own_states_weight:g} x " if recipe.own_states_weight else ""
    if weight and not (second.startswith(weight) and _is_whitened(recipe, second[len(weight) :])):
        return False
    if not weight and second:
        return False
    if recipe.teacher == "backbone-mean":
        return first.startswith(_MEAN_OF)
    if recipe.teacher == "backbone-whitened":
        return _is_whitened(recipe, first)
    if recipe.teacher_model:
        return first.rstrip("/") == recipe.teacher_model.rstrip("/")
    return first == f"{recipe.teacher}-{recipe.teacher_dimension}"


def _is_whitened(recipe: Recipe, name: str) -> bool:
    return name.startswith(_WHITENED) and name.endswith(f"-{recipe.teacher_dimension}")
