"""Products of rows with the LLM's matrices on a CPU, by the kernels that are fast on it.

torch multiplies float32 by MKL, which takes twice as long as oneDNN on some processors of AMD. Few
rows, as when the LLM writes, should take no longer than reading the matrix does: by the kernel that
torch takes, one row of float32 or bfloat16 took two to three times as long there, by others hardly
longer. Which kernel is the fastest is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from llm2vec_gen_rag.backbone.caches import beyond_caches
from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.process_settings import ChangedSettings

Kernel = Callable[[Tensor, Tensor], Tensor]  # rows (rows, in) and weight (out, in) -> (rows, out)

FEW = 4  # rows
# of a matrix, multiplied in one batch: as many threads can take part
PARTS = 16


def plain_product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the product with a plain matrix; in float32 by the kernel that is the fastest."""
    if rows.dtype != torch.float32:
        return F.linear(rows, weight, bias)
    output = float32_kernel(len(rows))(rows, weight)
    return output if bias is None else output.add_(bias)


def float32_kernel(rows: int) -> Kernel:
    """Return what multiplies this many rows of float32 the fastest."""
    if rows == 1 and ROW_BY_PARTS.is_faster():
        return _by_parts
    if 1 < rows <= FEW and MATRIX_FIRST.is_faster():
        return _matrix_first
    return _kernel_of_many_rows()


def _kernel_of_many_rows() -> Kernel:
    return by_onednn if has_onednn() and FLOAT32_BY_ONEDNN.is_faster() else F.linear


@cache
def has_onednn() -> bool:
    """Return whether torch was built with oneDNN, and lets it be asked for products."""
    is_built_in = torch.backends.mkldnn.is_available()
    return is_built_in and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def fast_row(inputs: Tensor, *, int8: bool) -> AbstractContextManager[None]:
    """Return a block in which one row of bfloat16 on a CPU is multiplied by the faster kernel.

    Args:
        inputs: (..., hidden), the rows that the block multiplies.
        int8: whether the matrices are of 8 bits, which take several times as long without oneDNN.

    Returns:
        A block that does nothing for other inputs, and where oneDNN is the faster way. Else all
        threads compute without it: products of more rows take longer meanwhile.
    """
    is_row = inputs.numel() == inputs.shape[-1] and not int8
    if is_row and inputs.device.type == "cpu" and inputs.dtype == torch.bfloat16:
        return _without_onednn if ROW_WITHOUT_ONEDNN.is_faster() else nullcontext()
    return nullcontext()


def by_onednn(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the product by oneDNN; torch itself asks it for bfloat16 and plain weights only."""
    output: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return output


def _by_parts(row: Tensor, weight: Tensor) -> Tensor:
    """Return the product of one row, by a batch of parts of the matrix."""
    out, width = weight.shape
    parts = PARTS if out % PARTS == 0 else 1
    columns = row.t().expand(parts, width, 1)
    return torch.bmm(weight.view(parts, -1, width), columns).view(1, out)


def _matrix_first(rows: Tensor, weight: Tensor) -> Tensor:
    """Return the product of some rows, as the transpose of another product."""
    return torch.mm(weight, rows.t()).t().contiguous()


def _disable_onednn(undo: ExitStack) -> None:
    """Disable oneDNN for all threads: others run slower meanwhile."""
    onednn: Any = torch.backends.mkldnn  # its `set_flags` would reset the precision, too
    undo.callback(setattr, onednn, "enabled", onednn.enabled)
    onednn.enabled = False


_without_onednn = ChangedSettings(_disable_onednn)


def with_large_matrix(rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows, (rows, 1024), and a matrix, (out, 1024), of `beyond_caches()` bytes."""
    out = beyond_caches() // (1024 * dtype.itemsize)
    return torch.ones(rows, 1024, dtype=dtype), torch.ones(out, 1024, dtype=dtype)


def _both_of_bfloat16() -> tuple[Way, Way]:
    with_onednn = partial(F.linear, *with_large_matrix(1, torch.bfloat16))

    def without() -> Tensor:
        with _without_onednn:
            return with_onednn()

    return without, with_onednn


def _both_of_float32(kernel: Kernel, rows: int) -> tuple[Way, Way]:
    inputs = with_large_matrix(rows, torch.float32)
    return partial(kernel, *inputs), partial(_kernel_of_many_rows(), *inputs)


def _both_of_many_rows() -> tuple[Way, Way]:
    inputs = [torch.ones(rows, 1024, dtype=torch.float32) for rows in (256, 1024)]
    return partial(by_onednn, *inputs), partial(F.linear, *inputs)


ROW_WITHOUT_ONEDNN = FasterWay(
    "one row of bfloat16 without oneDNN", _both_of_bfloat16, large_matrices=1
)
FLOAT32_BY_ONEDNN = FasterWay("products of float32 by oneDNN", _both_of_many_rows)
ROW_BY_PARTS = FasterWay(
    "one row of float32 by parts of the matrix",
    partial(_both_of_float32, _by_parts, 1),
    large_matrices=1,
)
MATRIX_FIRST = FasterWay(
    "few rows of float32 as a transposed product",
    partial(_both_of_float32, _matrix_first, FEW),
    large_matrices=1,
)
