"""Which texts share a forward: neighbours in length, as many as fit a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llm2vec_gen_rag.cpu.packing import rounded_up

# padded tokens in one forward: enough to keep the matrix units busy, few enough that a long list
# peaks no higher than a short one, and that on a CPU what one layer computes stays in the cache
CPU_TOKEN_BUDGET = 768
# each new token reads every weight once, whatever the rows
CPU_WRITING_TOKEN_BUDGET = 4_096
ACCELERATOR_TOKEN_BUDGET = 32_768


def plan_batches(
    lengths: Sequence[int],
    *,
    token_budget: int,
    batch_size: int | None = None,
    pad: bool = True,
    width_step: int = 1,
) -> list[list[int]]:
    """Return the rows of each batch, sorted by length over the whole list, the longest first.

    The longest come first, so that a batch too large for the machine fails at the start.

    Args:
        lengths: tokens of each row.
        token_budget: the most tokens in a batch, padding counted; a longer row stands alone.
        batch_size: rows in a batch, whatever their tokens; None goes by the budget.
        pad: whether rows of unequal length may share a batch.
        width_step: rows are padded to multiples of it.

    Returns:
        Lists of row indices; each row is in exactly one.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist()
    batches: list[list[int]] = []
    for row in order:
        if batches:
            batch = batches[-1]
            longest = lengths[batch[0]]
            width = rounded_up(max(longest, 1), width_step)
            limit = batch_size if batch_size is not None else token_budget // width
            if len(batch) < limit and (pad or lengths[row] == longest):
                batch.append(row)
                continue
        batches.append([row])
    return batches


def token_budget(device: torch.device, *, writes: bool) -> int:
    """Return how many padded tokens to put in one forward where the model runs.

    Args:
        device: where.
        writes: whether more tokens are written behind them, one by one.
    """
    if device.type != "cpu":
        return ACCELERATOR_TOKEN_BUDGET
    return CPU_WRITING_TOKEN_BUDGET if writes else CPU_TOKEN_BUDGET
