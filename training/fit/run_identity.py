"""Which run this is: what decides its result, by which a stopped or finished run is recognised."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import ROWS_READ, TokenPair

# may change when a run resumes: how much memory and time a step takes, and what gets the log
FREE = {"accumulation", "gradient_checkpointing", "logging_steps", "save_steps", "report_to"}
# where an LLM was found, which may have moved: the LLM and the vectors themselves are compared
PLACES = {"base_model", "teacher_base_model"}


def run_identity(
    model: LLM2VecGen,
    pairs: Sequence[TokenPair],
    teacher: npt.NDArray[np.floating],
    recipe: Recipe,
    untrained: str | None = None,
) -> dict[str, Any]:
    """Return what decides the result of a run, as plain data.

    Args:
        model: the model before the run.
        pairs: what it is trained on.
        teacher: (pairs, dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        untrained: identifies the untrained weights; None takes a hash of them.

    Returns:
        The recipe's choices that decide the result, and hashes of the data and the weights.
    """
    data = hashlib.sha256()
    for pair in pairs:
        data.update(f"{len(pair.question)},{len(pair.answer)};".encode())
        data.update(pair.question.tobytes() + pair.answer.tobytes())
    for start in range(0, len(teacher), ROWS_READ):
        data.update(np.asarray(teacher[start : start + ROWS_READ], dtype=np.float32).tobytes())
    choices = {
        name: value
        for name, value in dataclasses.asdict(recipe).items()
        if name not in FREE | PLACES
    }
    return {
        **choices,
        "responses and vectors": data.hexdigest()[:16],
        "untrained weights": untrained or model.trained_digest,
    }


def difference(found: Mapping[str, Any], run: Mapping[str, Any]) -> str | None:
    """Say how a recorded run differs from this one; None if it is the same."""
    for name, value in json.loads(json.dumps(run)).items():
        if found.get(name) != value:
            return f"{name} {found.get(name)!r}, and this one is with {value!r}"
    return None
