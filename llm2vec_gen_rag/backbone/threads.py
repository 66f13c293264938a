"""How many of torch's threads a forward of the LLM on a CPU uses.

Threads meet after every operation. Where other programs use the cores too, one of them waits for
its turn there, some milliseconds, while the others spin. Products that take longer than that gain
by more threads; tiny ones lose all, so they run on the calling thread alone.

Where torch's threads could not be ended before a fork (see `native_threads`), the child waits for
them in every parallel operation of the thread that forked. One thread alone works there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone import native_threads

logger = logging.getLogger(__name__)

# Both limits have to be kept for one thread. A matrix of half a MiB in bfloat16 stays in a core's
# own cache, so reading it gains nothing from a second core, not even for a single row.
SMALL_MATRIX = 2**18
# Multiply-adds of the largest product: a core does 10^11 a second and more in bfloat16, so it takes
# no longer than what a wait for a busy core costs (a time slice, 3 ms on Linux).
SMALL_PRODUCT = 2**28


@contextmanager
def fitting_threads(backbone: PreTrainedModel, rows: int) -> Iterator[None]:
    """Compute with one thread inside the block, if products are small or a fork lost the others.

    Elsewhere the number stays what `torch.set_num_threads` or OMP_NUM_THREADS made it, and it is
    the same again after the block. torch keeps it for each thread; one that calls torch for the
    first time while another is inside the block begins with one, too.

    Args:
        backbone: the LLM.
        rows: tokens in the forward.
    """
    before = torch.get_num_threads()
    if native_threads.lost:
        _warn_once()
    if before == 1 or not (native_threads.lost or has_small_products(backbone, rows)):
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


@cache
def _warn_once() -> None:
    """Say why a forked child is slower than its parent."""
    logger.warning(
        "this process was forked from one that had imported torch, whose threads do not survive a "
        "fork here: it computes with one thread. To use more, import torch after the fork, or "
        "start the process with the method 'spawn'."
    )
