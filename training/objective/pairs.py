"""Questions with their answers and teacher vectors: checked, and as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm2vec_gen_rag.arguments import as_texts, text_room
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.text_tokenizer import TokenIds
from llm2vec_gen_rag.training.objective.answer_end import answer_end_id

ROWS_READ = 4096  # of teacher vectors at a time


@dataclass(frozen=True)
class TokenPair:
    """A question and its answer as token ids, the answer closed by the LLM's own end token."""

    question: TokenIds
    answer: TokenIds


def check_pairs(questions: Sequence[str], answers: Sequence[str]) -> None:
    """Raise ValueError unless there is one answer per question and at least one pair."""
    for name, texts in (("questions", questions), ("answers", answers)):
        if isinstance(texts, str):
            raise ValueError(f"{name} is a single string; expected a list of strings")
        as_texts(texts)
    if len(questions) != len(answers):
        raise ValueError(
            f"got {len(questions)} questions and {len(answers)} answers; expected one answer "
            "per question"
        )
    if not questions:
        raise ValueError("got no questions; expected at least one question with its answer")


def check_teacher(teacher: Tensor | npt.NDArray[np.floating], expected: tuple[int, int]) -> None:
    """Require teacher vectors of the expected shape, all of them finite.

    They are read in pieces, so that a memory-mapped file is not loaded whole.

    Args:
        teacher: the vectors.
        expected: the shape.

    Raises:
        ValueError: if they are not.
    """
    if tuple(teacher.shape) != expected:
        raise ValueError(
            f"teacher has shape {tuple(teacher.shape)}; expected {expected}: one vector of the "
            "model's dimension per answer. Compute them from these answers, in this order."
        )
    for start in range(0, len(teacher), ROWS_READ):
        rows = teacher[start : start + ROWS_READ]
        finite = rows.isfinite() if isinstance(rows, Tensor) else torch.tensor(np.isfinite(rows))
        if not finite.all():
            row = start + int(finite.all(dim=1).logical_not().nonzero()[0])
            raise ValueError(f"teacher vector {row} holds NaN or infinity; compute it again")


def tokenize_pairs(
    model: LLM2VecGen, questions: Sequence[str], answers: Sequence[str], *, max_length: int
) -> list[TokenPair]:
    """Return the token ids of each pair.

    An answer carries the tokenizer's BOS, if any, and the token with which the LLM ends an answer.

    Args:
        model: gives the tokenizer.
        questions: the questions, each with its instruction.
        answers: the answer to each.
        max_length: see `step_losses`.

    Returns:
        One pair per question.

    Raises:
        ValueError: if the LLM has no end token, or `max_length` leaves no room for a question.
    """
    end = answer_end_id(model.backbone, model.tokenizer)
    room = text_room(max_length, len(model.response_tokens), model.positions)
    if model.positions is not None:  # an answer follows the soft prompts
        max_length = min(max_length, model.positions - model.compression_tokens)
    question_ids = model.text_tokenizer.token_ids(questions, max_tokens=room)
    answer_ids = model.text_tokenizer.token_ids(answers)
    return [
        TokenPair(question, np.append(answer, end)[:max_length])
        for question, answer in zip(question_ids, answer_ids, strict=True)
    ]
