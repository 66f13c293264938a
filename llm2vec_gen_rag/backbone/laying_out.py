"""When an LLM's matrices are put into oneDNN's own layout, and which.

oneDNN multiplies a few rows by a matrix in its own layout in two thirds of the time, and many rows
in a little less. Laying out takes as long as a dozen short forwards, so it is done once that many
are to come. A single row, as when the LLM writes one text, takes a third longer in that layout on
some processors: there an LLM whose forwards are mostly of one row is left plain, or laid back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.laid_out import (
    ROWS,
    LaidOutLinear,
    can_be_laid_out,
    lay_back,
    lay_out_layer,
    weight_dtype,
)
from llm2vec_gen_rag.backbone.products import by_onednn, fast_row, has_onednn, plain_product
from llm2vec_gen_rag.backbone.resident_memory import available_memory

logger = logging.getLogger(__name__)

REPAID_AFTER = 16  # forwards
# Multiplying a row by less takes no longer than what a call of oneDNN takes beside it, 10
# microseconds.
LEAST_WEIGHTS = 2**20


@dataclass
class _Forwards:
    """The forwards of an LLM since it was last decided how its matrices lie.

    Attributes:
        of_one_row: those of one text's next token.
        of_several: the others.
        needed: how many it takes until the next decision.
    """

    of_one_row: int = 0
    of_several: int = 0
    needed: int = REPAID_AFTER


_forwards: WeakKeyDictionary[nn.Module, _Forwards] = WeakKeyDictionary()


def lay_out_once_repaid(model: nn.Module, forwards: int, *, rows: int) -> None:
    """Lay out an LLM's matrices once so many forwards are to come that it pays, on this processor.

    Or lay them back, where most forwards are of one row and a plain matrix is faster for that. Each
    time it takes twice as many forwards until they are laid out or back again, so that neither
    someone who reads the weights at every call, nor one who embeds and writes by turns, waits long,
    and memory that is short is not asked for at every call.

    Args:
        model: the layers of the LLM, or all of it.
        forwards: how many are to come; those of earlier calls count, too.
        rows: of each of them.
    """
    counted = _forwards.setdefault(getattr(model, "base_model", model), _Forwards())
    if rows == 1:
        counted.of_one_row += forwards
    else:
        counted.of_several += forwards
    if counted.of_one_row + counted.of_several < counted.needed:
        return
    is_for_rows = counted.of_one_row > counted.of_several and _is_plain_row_faster(model)
    had_work = lay_back(model) if is_for_rows else lay_out(model)
    counted.needed *= 1 + had_work
    counted.of_one_row = counted.of_several = 0


def lay_out(model: nn.Module) -> bool:
    """Lay out every matrix that is large, multiplied faster so, and held by its layer alone.

    As much memory as they take together has to stay free: where they are mapped from a file, other
    processes share that copy, and the laid-out one is this process's own.

    Args:
        model: the layers of the LLM, or all of it.

    Returns:
        Whether there was one, though memory may be too short for it.
    """
    linears = (module for module in model.modules() if isinstance(module, nn.Linear))
    layers = [layer for layer in linears if _pays(layer)]
    size = sum(layer.weight.nbytes for layer in layers)
    for done, layer in enumerate(layers):
        if available_memory() < size + layer.weight.nbytes:
            logger.info("%d matrices stay plain: memory is short", len(layers) - done)
            return True
        try:
            lay_out_layer(layer)
        except RuntimeError as error:  # memory can run out in spite of what the system says
            logger.info("%d matrices stay plain: %s", len(layers) - done, error)
            return True
    if layers:
        logger.info("laid out %d matrices of %s", len(layers), type(model).__name__)
    return len(layers) > 0


def _pays(layer: nn.Linear) -> bool:
    """Return whether a layer's matrix is to be laid out."""
    if not _is_large(layer) or not can_be_laid_out(layer):
        return False
    dtype = layer.weight.dtype
    return dtype in LAID_OUT and _has_layout(dtype) and LAID_OUT[dtype].is_faster()


def _is_large(layer: nn.Linear) -> bool:
    return layer.in_features * layer.out_features >= LEAST_WEIGHTS


def _is_plain_row_faster(model: nn.Module) -> bool:
    """Return whether one row takes less time by the large matrices of this LLM as they were."""
    linears = (module for module in model.modules() if isinstance(module, nn.Linear))
    dtypes = {
        weight_dtype(layer)
        for layer in linears
        if _is_large(layer) and (isinstance(layer, LaidOutLinear) or can_be_laid_out(layer))
    }
    return any(dtype in PLAIN_ROW and PLAIN_ROW[dtype].is_faster() for dtype in dtypes)


def _products(dtype: torch.dtype, *sizes: tuple[int, int]) -> tuple[Way, Way]:
    """Return what multiplies rows by laid-out matrices, and what does so by plain ones.

    Args:
        dtype: of both.
        *sizes: the rows of each product, and the matrix's. One of 2**14 rows is too large for a
            core's own caches, two of them for those that cores share.
    """
    products = [
        (torch.ones(rows, 1024, dtype=dtype), torch.ones(size, 1024, dtype=dtype))
        for rows, size in sizes
    ]

    def plain() -> Tensor:
        for rows, weight in products:
            with fast_row(rows, int8=False):
                product = plain_product(rows, weight)
        return product

    if not _has_layout(dtype):
        return plain, plain
    laid_out = [
        (rows, torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)) for rows, weight in products
    ]
    return lambda: [by_onednn(rows, weight) for rows, weight in laid_out][-1], plain


def _several_rows(dtype: torch.dtype) -> tuple[Way, Way]:
    """Return both ways for a few rows and for many: each takes about as long."""
    return _products(dtype, (16, 2**14), (256, 2**11))


def _one_row(dtype: torch.dtype) -> tuple[Way, Way]:
    """Return a plain matrix's way for one row, and a laid-out one's."""
    laid_out, plain = _products(dtype, (1, 2**14), (1, 2**14))
    return plain, laid_out


def _has_layout(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has a layout for that dtype on this processor; tried on x86 alone."""
    if not has_onednn() or "AVX" not in torch.backends.cpu.get_cpu_capability():
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


_NAMES = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
LAID_OUT = {
    dtype: FasterWay(f"matrices of {name} in oneDNN's layout", partial(_several_rows, dtype))
    for dtype, name in _NAMES.items()
}
PLAIN_ROW = {
    dtype: FasterWay(
        f"one row of {name} by a plain matrix, not a laid-out one", partial(_one_row, dtype)
    )
    for dtype, name in _NAMES.items()
}
