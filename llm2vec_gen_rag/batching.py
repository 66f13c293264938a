"""Which texts share a forward: neighbours in length, as many as fit a budget of tokens.

When a forward runs out of memory, its batch and the remaining ones are halved.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from llm2vec_gen_rag.cpu import rounded_up
from llm2vec_gen_rag.text_tokenizer import TokenIds

logger = logging.getLogger(__name__)

# what a RuntimeError says where torch has no class of its own for lack of memory: on a CPU under
# Linux and macOS, on a CPU under Windows, on Apple's GPU
_SHORTAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
)

# padded tokens in one forward: enough to read the weights and lay them out for few forwards, few
# enough that a long list needs no more memory than a short one (docs/log.md, 2026-11-27)
CPU_TOKEN_BUDGET = 1_536
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
        token_budget: the most tokens in a batch, padding counted; a longer row is its own batch.
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
        writes: whether more tokens are written after them, one by one.

    Returns:
        The most tokens, padding counted.
    """
    if device.type != "cpu":
        return ACCELERATOR_TOKEN_BUDGET
    return CPU_WRITING_TOKEN_BUDGET if writes else CPU_TOKEN_BUDGET


def run_batches(
    forward: Callable[[list[int]], None],
    batches: Iterable[list[int]],
    token_ids: Sequence[TokenIds],
) -> None:
    """Run a forward of each batch; if one runs out of memory, halve it and the remaining ones.

    The first halving of a call is logged as a warning. A forward that still does not fit is halved
    again.

    Args:
        forward: runs some rows, and stores their results last, so that it can be repeated.
        batches: rows of each batch.
        token_ids: ids of each row.

    Raises:
        RuntimeError: of the forward's own; also if memory runs out with a single row.
        MemoryError: likewise.
    """
    remaining = deque(batches)
    warned = False
    while remaining:
        rows = remaining[0]
        shortage = _shortage(forward, rows)
        if not shortage:
            remaining.popleft()
            continue
        torch.cuda.empty_cache()  # the failed forward left free blocks of other sizes
        remaining = deque(half for batch in remaining for half in _halves(batch))
        if not warned:
            _warn(shortage, rows, len(remaining[0]), token_ids)
            warned = True


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or on a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SHORTAGES)


def _shortage(forward: Callable[[list[int]], None], rows: list[int]) -> str:
    """Run the forward; return what it said if memory ran out, and "" if it succeeded.

    Only the message is kept: the error holds the frames of the forward, and these the tensors whose
    memory is needed.

    Raises:
        RuntimeError: of the forward's own; also if memory runs out with a single row.
        MemoryError: likewise.
    """
    try:
        forward(rows)
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
        return f"{type(error).__name__}: {error}".split("\n", 1)[0]
    return ""


def _halves(rows: list[int]) -> list[list[int]]:
    """Return the first half, the larger one if they differ, and the second if there is one."""
    middle = (len(rows) + 1) // 2
    return [half for half in (rows[:middle], rows[middle:]) if half]


def _warn(shortage: str, rows: list[int], fewer: int, token_ids: Sequence[TokenIds]) -> None:
    tokens = max(len(token_ids[row]) for row in rows)
    logger.warning(
        "memory ran out in a forward of %d texts of up to %d tokens (%s); continuing with %d texts "
        "in a forward, or fewer if need be. The results stay the same. To save the forwards that "
        "fail, free memory, pass fewer texts at a time, or to `encode` batch_size=%d.",
        *(len(rows), tokens, shortage, fewer, fewer),
    )
