"""When an LLM's matrices are put into oneDNN's own layout, and which.

oneDNN multiplies a few rows by a matrix in its own layout in two thirds of the time, and many rows
in a little less. Laying out takes as long as a dozen short forwards, so it is done once that many
are to come.
"""

from __future__ import annotations

import logging
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.laid_out import ROWS, can_be_laid_out, lay_out_layer
from llm2vec_gen_rag.backbone.products import by_onednn, fast_row, has_onednn, plain_product
from llm2vec_gen_rag.backbone.resident_memory import available_memory

logger = logging.getLogger(__name__)

REPAID_AFTER = 16  # forwards
# Multiplying a row by less takes no longer than what a call of oneDNN takes beside it, 10
# microseconds.
LEAST_WEIGHTS = 2**20

# of each LLM: the forwards since its matrices were last laid out, and how many it takes
_forwards: WeakKeyDictionary[nn.Module, tuple[int, int]] = WeakKeyDictionary()


def lay_out_once_repaid(model: nn.Module, forwards: int) -> None:
    """Lay out an LLM's matrices if so many forwards are to come that it pays, on this processor.

    Where something reads the weights again and again, they are laid back each time. Each time it
    takes twice as many forwards until they are laid out again.

    Args:
        model: the layers of the LLM, or all of it.
        forwards: how many are to come; those of earlier calls count, too.
    """
    count, needed = _forwards.get(model, (0, REPAID_AFTER))
    if count + forwards < needed:
        _forwards[model] = (count + forwards, needed)
        return
    lay_out(model)
    _forwards[model] = (0, 2 * needed)


def lay_out(model: nn.Module) -> None:
    """Lay out every matrix that is large, multiplied faster so, and held by its layer alone.

    As much memory as they take together has to stay free: where they are mapped from a file, other
    processes share that copy, and the laid-out one is this process's own.

    Args:
        model: the layers of the LLM, or all of it.
    """
    linears = (module for module in model.modules() if isinstance(module, nn.Linear))
    layers = [layer for layer in linears if _pays(layer)]
    size = sum(layer.weight.nbytes for layer in layers)
    for done, layer in enumerate(layers):
        if available_memory() < size + layer.weight.nbytes:
            logger.info("%d matrices stay plain: memory is short", len(layers) - done)
            return
        try:
            lay_out_layer(layer)
        except RuntimeError as error:  # memory can run out in spite of what the system says
            logger.info("%d matrices stay plain: %s", len(layers) - done, error)
            return
    if layers:
        logger.info("laid out %d matrices of %s", len(layers), type(model).__name__)


def _pays(layer: nn.Linear) -> bool:
    """Return whether a layer's matrix is to be laid out."""
    is_large = layer.in_features * layer.out_features >= LEAST_WEIGHTS
    if not is_large or not can_be_laid_out(layer):
        return False
    dtype = layer.weight.dtype
    return dtype in LAID_OUT and _has_layout(dtype) and LAID_OUT[dtype].is_faster()


def _both(dtype: torch.dtype) -> tuple[Way, Way]:
    """Return both ways for one row, a few and many: each takes about as long.

    One row and a few are multiplied by a matrix too large for a core's own caches.
    """
    large, small = (torch.ones(rows, 1024, dtype=dtype) for rows in (2**14, 2**11))
    products = [
        (torch.ones(rows, 1024, dtype=dtype), weight)
        for rows, weight in ((1, large), (1, large), (16, large), (256, small))
    ]

    def usual() -> Tensor:
        for rows, weight in products:
            with fast_row(rows, int8=False):
                product = plain_product(rows, weight)
        return product

    if not _has_layout(dtype):
        return usual, usual
    laid_out = {
        len(weight): torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        for weight in (large, small)
    }
    return (
        lambda: [by_onednn(rows, laid_out[len(weight)]) for rows, weight in products][-1]
    ), usual


def _has_layout(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has a layout for that dtype on this processor; tried on x86 alone."""
    if not has_onednn() or "AVX" not in torch.backends.cpu.get_cpu_capability():
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


LAID_OUT = {
    dtype: FasterWay(f"matrices of {name} in oneDNN's layout", partial(_both, dtype))
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32"))
}
