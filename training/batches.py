"""Which pairs each training step reads: shuffled by a seed, and of nearly equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import TokenPair

# steps whose pairs are sorted by length together: enough that a batch needs next to no padding,
# few enough that what stands in one batch changes from epoch to epoch
SORTED_STEPS = 50


def plan_steps(
    pairs: Sequence[TokenPair], *, steps: int, batch_size: int, seed: int
) -> list[list[int]]:
    """Return the rows of every step of a training run.

    Each epoch visits every pair once, in an order of its own; the last batch of an epoch is filled
    from the next. The plan is a function of its arguments, so a run that resumes at step s reads
    what it would have read.

    Args:
        pairs: the training pairs.
        steps: optimizer steps.
        batch_size: rows a step.
        seed: of every shuffle.

    Returns:
        `steps` lists of `batch_size` rows, those of one list neighbours in length.
    """
    rng = np.random.default_rng(seed)
    epochs = -(-steps * batch_size // len(pairs))
    rows = np.concatenate([rng.permutation(len(pairs)) for _ in range(epochs)])
    lengths = np.array([(len(pair.question), len(pair.answer)) for pair in pairs])
    plan: list[list[int]] = []
    for start in range(0, steps, SORTED_STEPS):
        count = min(SORTED_STEPS, steps - start)
        chunk = rows[start * batch_size : (start + count) * batch_size]
        by_length = chunk[np.lexsort((lengths[chunk, 1], lengths[chunk, 0]))]
        batches = by_length.reshape(count, batch_size)
        plan += [batches[place].tolist() for place in rng.permutation(count)]
    return plan


class PlannedBatches(Dataset[dict[str, Any]]):
    """Every micro-batch of a run in order, built when it is asked for."""

    def __init__(self, pairs: Sequence[TokenPair], teacher: Tensor, recipe: Recipe) -> None:
        self._pairs = pairs
        self._teacher = teacher
        self._parts: int = recipe.accumulation
        self._steps: list[list[int]] = plan_steps(
            pairs, steps=recipe.steps, batch_size=recipe.batch_size, seed=recipe.seed
        )

    def __len__(self) -> int:
        return len(self._steps) * self._parts

    def __getitem__(self, place: int) -> dict[str, Any]:
        step, part = divmod(place, self._parts)
        all_rows = self._steps[step]
        size = len(all_rows) // self._parts
        rows = all_rows[part * size : (part + 1) * size]
        # the reconstruction loss is a mean over the tokens of the whole step, not of a part
        share = self._parts * self._answer_tokens(rows) / self._answer_tokens(all_rows)
        pairs = [self._pairs[row] for row in rows]
        return {"pairs": pairs, "teacher": self._teacher[rows], "share": share}

    def _answer_tokens(self, rows: Sequence[int]) -> int:
        """Return how many answer tokens the rows hold together."""
        count: int = sum(len(self._pairs[row].answer) for row in rows)
        return count
