"""Everything about a run that is settled before its first step: data, batches, arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.backbone.int8 import refuse_gradient
from llm2vec_gen_rag.model import LLM2VecGen, require_model
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.batches import PlannedBatches
from llm2vec_gen_rag.training.fit.run_identity import run_identity
from llm2vec_gen_rag.training.fit.trainer_arguments import OneDeviceArguments, trainer_arguments
from llm2vec_gen_rag.training.objective import (
    TokenPair,
    check_pairs,
    check_teacher,
    tokenize_pairs,
)


@dataclass(frozen=True)
class Plan:
    """A run before its first step.

    Attributes:
        pairs: the tokenized pairs.
        batches: the micro-batches of all steps.
        arguments: of the `Trainer`.
        run: as `run_identity` returns it.
    """

    pairs: list[TokenPair]
    batches: PlannedBatches
    arguments: OneDeviceArguments
    run: dict[str, Any]


def plan_run(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    folder: Path,
    *,
    untrained: str | None,
    show_progress: bool,
) -> Plan:
    """Check the model and the data, tokenize the texts, and plan every step.

    Args:
        model: as `fit`.
        questions: as `fit`.
        answers: as `fit`.
        teacher_vectors: as `fit`.
        recipe: as `fit`.
        folder: where the model is trained into.
        untrained: as `fit`.
        show_progress: as `fit`.

    Returns:
        The plan.

    Raises:
        ValueError: if model, data and recipe do not fit together.
    """
    _check_model(model, recipe)
    check_pairs(questions, answers)
    check_teacher(teacher_vectors, (len(questions), model.dimension))
    pairs = tokenize_pairs(model, questions, answers, max_length=recipe.max_length)
    arguments = trainer_arguments(model, recipe, folder, show_progress=show_progress)
    batches = PlannedBatches(pairs, teacher_vectors, recipe, processes=arguments.world_size)
    run = run_identity(model, pairs, teacher_vectors, recipe, untrained)
    return Plan(pairs, batches, arguments, run)


def _check_model(model: LLM2VecGen, recipe: Recipe) -> None:
    """Raise ValueError if it is no model that carries a gradient, of the recipe's sizes."""
    require_model(model)
    refuse_gradient(model.dtype)
    found = (len(model.response_tokens), model.compression_tokens)
    expected = (recipe.response_tokens, recipe.compression_tokens)
    if found != expected:
        raise ValueError(
            f"the model has {found[0]} response and {found[1]} compression tokens, the recipe "
            f"{expected[0]} and {expected[1]}. Change response_tokens and compression_tokens in "
            "the recipe, or create the model with the recipe's counts."
        )
    updates = {} if model.adapter is None else model.adapter.updates
    rank = max((len(update.down) for update in updates.values()), default=0)
    if rank != recipe.lora_rank:
        raise ValueError(
            f"the model has low-rank updates of rank {rank}, the recipe lora_rank "
            f"{recipe.lora_rank} (0 is none). Change lora_rank in the recipe, or create the model "
            "with the recipe's rank."
        )
