"""When an LLM's matrices are put into oneDNN's own layout, and which.

oneDNN multiplies a few rows by a matrix in its own layout in two thirds of the time, and many rows
in a little less. Laying out takes time itself, so it is done once enough is to be computed. A
single row, as when the LLM writes one text, takes a third longer in that layout on some processors:
there an LLM that spends most of its time on single rows is left plain, or laid back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
from llm2vec_gen_rag.backbone.products import (
    by_onednn,
    fast_row,
    has_onednn,
    plain_product,
    with_large_matrix,
)
from llm2vec_gen_rag.backbone.resident_memory import available_memory

logger = logging.getLogger(__name__)

# Laying out takes as long as a dozen readings of the weights, and saves up to a third of one.
REPAID_AFTER = 32  # readings of the weights
# Multiplying so many rows takes about as long as reading the weights does: 10 to 20 without AMX.
ROWS_OF_A_READING = 16
# Decisions in a row that change nothing, after which the next one is made sooner: changes take a
# twentieth of the time then, at most.
KEPT = 16
# Multiplying a row by less takes no longer than what a call of oneDNN takes beside it, 10
# microseconds.
LEAST_WEIGHTS = 2**20


@dataclass
class _Work:
    """What an LLM computed since it was last decided how its matrices lie.

    It is counted in the time that a reading of the weights takes, whatever the processor.

    Attributes:
        for_one_row: for one text's next token.
        for_several: for more rows.
        needed: how much there has to be until the next decision.
        kept: how many decisions in a row changed nothing.
        writes: whether its output matrix was multiplied, too.
    """

    for_one_row: float = 0
    for_several: float = 0
    needed: float = REPAID_AFTER
    kept: int = 0
    writes: bool = False

    def add(self, forwards: int, rows: int, *, read: int, writes: bool) -> None:
        """Count some forwards of so many rows each, and what reads the prompts before them."""
        self.for_several += read / ROWS_OF_A_READING
        if rows == 1:
            self.for_one_row += forwards
        else:
            self.for_several += forwards * max(1, rows / ROWS_OF_A_READING)
        self.writes = self.writes or writes

    def begin_anew(self, *, changed: bool) -> None:
        """Count from nothing: for longer after a change, for less long once much was kept."""
        self.kept = 0 if changed else self.kept + 1
        if changed:
            self.needed *= 2
        elif self.kept % KEPT == 0:
            self.needed = max(REPAID_AFTER, self.needed / 2)
        self.for_one_row, self.for_several, self.writes = 0, 0, False


_work: WeakKeyDictionary[nn.Module, _Work] = WeakKeyDictionary()


def lay_out_once_repaid(
    model: nn.Module, forwards: int, *, rows: int, read: int = 0, writes: bool = False
) -> None:
    """Lay out an LLM's matrices once so much is to be computed that it pays, on this processor.

    Or lay them back, where most of the time goes into single rows and a plain matrix is faster for
    those. Each change doubles how much has to be computed until the next, so that neither someone
    who reads the weights at every call, nor one who embeds and writes by turns, waits long, and
    memory that is short is not asked for at every call. What is kept for long halves it again.

    Args:
        model: the LLM.
        forwards: how many are to come, at most; those of earlier calls count, too.
        rows: of each of them.
        read: tokens of prompts, which a forward reads before them.
        writes: whether they multiply the output matrix.
    """
    layers = getattr(model, "base_model", model)
    work = _work.setdefault(layers, _Work())
    work.add(forwards, rows, read=read, writes=writes)
    if work.for_one_row + work.for_several < work.needed:
        return
    if work.for_one_row > work.for_several and _is_plain_row_faster(model):
        changed = lay_back(model)
    else:
        changed = lay_out(model if work.writes else layers)
    work.begin_anew(changed=changed)


def lay_out(model: nn.Module) -> bool:
    """Lay out every matrix that is large, multiplied faster so, and held by its layer alone.

    As much memory as they take together has to stay free: where they are mapped from a file, other
    processes share that copy, and the laid-out one is this process's own.

    Args:
        model: the layers of the LLM, or all of it.

    Returns:
        Whether there was one, though memory may be too short for it.
    """
    layers = [layer for layer in _large_linears(model) if _pays(layer)]
    size = sum(layer.weight.nbytes for layer in layers)
    skipped = 0
    for done, layer in enumerate(layers):
        if (available_memory() or 0) < size + layer.weight.nbytes:
            logger.info("%d matrices stay plain: memory is short", len(layers) - done)
            return True
        if not can_be_laid_out(layer):  # another thread may hold the weight by now
            skipped += 1
            continue
        try:
            lay_out_layer(layer)
        except RuntimeError as error:  # memory can run out in spite of what the system says
            logger.info("%d matrices stay plain: %s", len(layers) - done, error)
            return True
    if layers:
        logger.info("laid out %d matrices of %s", len(layers) - skipped, type(model).__name__)
    return len(layers) > 0


def _pays(layer: nn.Linear) -> bool:
    """Return whether a layer's matrix is to be laid out."""
    if not can_be_laid_out(layer):
        return False
    dtype = layer.weight.dtype
    return dtype in LAID_OUT and _has_layout(dtype) and LAID_OUT[dtype].is_faster()


def _large_linears(model: nn.Module) -> Iterator[nn.Linear]:
    """Yield the linear layers whose matrix is large."""
    for module in model.modules():
        if (
            isinstance(module, nn.Linear)
            and module.in_features * module.out_features >= LEAST_WEIGHTS
        ):
            yield module


def _is_plain_row_faster(model: nn.Module) -> bool:
    """Return whether one row takes less time by the large matrices of this LLM as they were."""
    dtypes = {
        weight_dtype(layer)
        for layer in _large_linears(model)
        if isinstance(layer, LaidOutLinear) or can_be_laid_out(layer)
    }
    return any(dtype in PLAIN_ROW and PLAIN_ROW[dtype].is_faster() for dtype in dtypes)


def _products(dtype: torch.dtype, *products: tuple[Tensor, Tensor]) -> tuple[Way, Way]:
    """Return what multiplies rows by laid-out matrices, and what does so by plain ones.

    Args:
        dtype: of all.
        *products: rows and matrix of each.
    """

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
    """Return both ways for a few rows and for many, by a sixteenth of the matrix."""
    few = with_large_matrix(16, dtype)
    return _products(dtype, few, (few[0].repeat(16, 1), few[1][::16].contiguous()))


def _one_row(dtype: torch.dtype) -> tuple[Way, Way]:
    """Return a plain matrix's way for one row, and a laid-out one's."""
    laid_out, plain = _products(dtype, with_large_matrix(1, dtype))
    return plain, laid_out


def _has_layout(dtype: torch.dtype) -> bool:
    """Return whether oneDNN has a layout for that dtype on this processor; tried on x86 alone."""
    if not has_onednn() or "AVX" not in torch.backends.cpu.get_cpu_capability():
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


_NAMES = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
LAID_OUT = {
    dtype: FasterWay(
        f"matrices of {name} in oneDNN's layout", partial(_several_rows, dtype), large_matrices=3
    )
    for dtype, name in _NAMES.items()
}
PLAIN_ROW = {
    dtype: FasterWay(
        f"one row of {name} by a plain matrix, not a laid-out one",
        partial(_one_row, dtype),
        large_matrices=3,  # and its plain way may have to be chosen meanwhile
    )
    for dtype, name in _NAMES.items()
}
