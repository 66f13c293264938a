"""How many of torch's threads a forward of the LLM on a CPU uses.

Threads meet after every operation. Where other programs use the cores too, one of them waits for
its turn there, some milliseconds, while the others spin. Products that take longer than that gain
by more threads; tiny ones lose all, so they run on the calling thread alone.

In a forked child torch's threads are gone, but torch waits for them in every parallel operation of
the thread that forked. One thread alone works there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# Both limits have to be kept for one thread. A matrix of half a MiB in bfloat16 stays in a core's
# own cache, so reading it gains nothing from a second core, not even for a single row.
SMALL_MATRIX = 2**18
# Multiply-adds of the largest product: a core does some 10^11 a second in bfloat16, so it takes a
# millisecond, which is less than what a wait for a busy core costs (a time slice, 3 ms on Linux).
SMALL_PRODUCT = 2**27


@contextmanager
def fitting_threads(backbone: PreTrainedModel, rows: int) -> Iterator[None]:
    """Compute with one thread inside the block, if the products are small or this child was forked.

    Elsewhere the number stays what `torch.set_num_threads` or OMP_NUM_THREADS made it, and it is
    the same again after the block. torch keeps it for each thread; one that calls torch for the
    first time while another is inside the block begins with one, too.

    Args:
        backbone: the LLM.
        rows: tokens in the forward.
    """
    before = torch.get_num_threads()
    if _forked:
        _warn_once()
    if before == 1 or not (_forked or has_small_products(backbone, rows)):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_small_products(backbone: PreTrainedModel, rows: int) -> bool:
    """Return whether every product of a layer is small, on a CPU, for that many tokens."""
    if backbone.device.type != "cpu":
        return False
    limit = min(SMALL_MATRIX, SMALL_PRODUCT // max(rows, 1))
    layers: Any = getattr(backbone.base_model, "layers", ())
    matrices = (
        module.in_features * module.out_features
        for layer in layers
        for module in layer.modules()
        if hasattr(module, "in_features")
    )
    return len(layers) > 0 and all(weights <= limit for weights in matrices)


_loaded = _forked = False


def note_loading() -> None:
    """Remember that this process has loaded an LLM, and so has started torch's threads."""
    global _loaded
    _loaded = True


def _use_one_thread() -> None:
    """Let all of torch in a forked child use one thread, if its parent had loaded an LLM."""
    global _forked
    if _loaded and torch.get_num_threads() > 1:
        _forked = True
        torch.set_num_threads(1)


@cache
def _warn_once() -> None:
    """Say why a forked child is slower than its parent."""
    logger.warning(
        "this process was forked from one that had loaded a model, and torch's threads do not "
        "survive a fork: it computes with one thread. To use more, load the model after the fork, "
        "or start the process with the method 'spawn'."
    )


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_use_one_thread)
