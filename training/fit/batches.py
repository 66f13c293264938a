"""Which pairs each training step reads: shuffled by a seed, and of nearly equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import TokenPair

# steps whose pairs are sorted by length together: enough that a batch needs next to no padding,
# few enough that a batch holds other pairs in every epoch
SORTED_STEPS = 50


def plan_steps(
    pairs: Sequence[TokenPair], *, steps: int, batch_size: int, seed: int
) -> list[list[int]]:
    """Return the rows of every step of a training run.

    Each epoch visits every pair once, shuffled anew; the last batch of an epoch is filled from the
    next. The plan depends on nothing but its arguments, so a run that resumes at step s reads what
    it would have read.

    Args:
        pairs: the training pairs.
        steps: optimizer steps.
        batch_size: rows a step.
        seed: of every shuffle.

    Returns:
        `steps` lists of `batch_size` rows, those of one list nearly equal in length.
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
    """Every micro-batch of a run in order, built when it is asked for.

    Those of a step are in the order in which accelerate hands them out: the first of every process,
    then the second of every process, and so on.
    """

    def __init__(
        self,
        pairs: Sequence[TokenPair],
        teacher: npt.NDArray[np.floating],
        recipe: Recipe,
        *,
        processes: int = 1,
    ) -> None:
        """Plan a run.

        Args:
            pairs: the training pairs.
            teacher: (pairs, dimension) teacher vectors of the answers; may be a memory map.
            recipe: of the run.
            processes: how many share each step.

        Raises:
            ValueError: if a step cannot be cut into equal parts for the processes.
        """
        self._pairs = pairs
        self._teacher = teacher
        self._parts = recipe.accumulation * processes
        if recipe.batch_size % self._parts:
            raise ValueError(
                f"batch_size {recipe.batch_size} cannot be cut into {processes} processes with "
                f"{recipe.accumulation} equal parts each; choose numbers whose product divides it"
            )
        self._steps: list[list[int]] = plan_steps(
            pairs, steps=recipe.steps, batch_size=recipe.batch_size, seed=recipe.seed
        )

    def __len__(self) -> int:
        parts: int = self._parts
        return len(self._steps) * parts

    def __getitem__(self, place: int) -> dict[str, Any]:
        step, part = divmod(place, self._parts)
        all_rows = self._steps[step]
        size = len(all_rows) // self._parts
        rows = all_rows[part * size : (part + 1) * size]
        # the reconstruction loss is a mean over the tokens of the step, not of the micro-batch
        share = self._parts * self._answer_tokens(rows) / self._answer_tokens(all_rows)
        return {
            "pairs": [self._pairs[row] for row in rows],
            "teacher": torch.from_numpy(np.asarray(self._teacher[rows], dtype=np.float32)),
            "share": share,
        }

    def _answer_tokens(self, rows: Sequence[int]) -> int:
        """Return how many answer tokens the rows hold in all."""
        count: int = sum(len(self._pairs[row].answer) for row in rows)
        return count
