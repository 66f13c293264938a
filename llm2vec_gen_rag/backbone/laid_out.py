"""The LLM's matrices in oneDNN's own layout, until something else than their product asks for them.

oneDNN multiplies a few rows by a matrix in its own layout in two thirds of the time, and many rows
in a little less; nothing else can read that layout. So the plain weight is freed while the matrix
is laid out, and is laid back, bit by bit as it was, when anything reads it: training, saving, a
hash, `parameters()`, a copy of the LLM. What the LLM's own forward computes without gradient reads
the laid-out one, too.

Laying out takes as long as a dozen short forwards, so it is done once that many are to come.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.products import by_onednn, float32_kernel, has_onednn
from llm2vec_gen_rag.backbone.resident_memory import available_memory, drop_file_pages

logger = logging.getLogger(__name__)

REPAID_AFTER = 16  # forwards
# Multiplying a row by less takes no longer than what a call of oneDNN takes beside it, 10
# microseconds.
LEAST_WEIGHTS = 2**20
# rows for which a layout is chosen: it hardly depends on them, nor does the time of few rows
ROWS = 64
# to a weight that its layer alone has: the layer's, that of the caller, and that of the question
_REFERENCES = 3

_lock = ForkSafeLock()
_forwards: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


class LaidOutLinear(nn.Linear):
    """A linear layer whose weight is in oneDNN's layout; made of a plain one by `lay_out`.

    It becomes the plain layer again as soon as its weight is read.

    Attributes:
        laid_out: the weight, (out, in); there is none once the layer is plain.
    """

    laid_out: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the product; by the plain weight where the laid-out one cannot be used.

        Args:
            input: (..., in).

        Returns:
            (..., out).
        """
        laid_out = self.__dict__.get("laid_out")  # another thread may lay it back meanwhile
        if laid_out is None or not _can_multiply(input, laid_out.dtype):
            return F.linear(input, self.weight, self.bias)
        return by_onednn(input, laid_out, self.bias)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return how a copy or a pickle is made: of the plain layer."""
        lay_back_layer(self)
        return nn.Module.__reduce_ex__(self, protocol)  # `super()` refuses a layer that is plain


class _Parameters(dict[str, "nn.Parameter | None"]):
    """The parameters of a laid-out layer: whoever asks for the weight makes the layer plain.

    `torch.nn.Module` keeps its parameters in a dictionary, in which all others find them.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__({**layer._parameters, "weight": None})
        self._layer = ref(layer)  # the layer holds this

    def plain(self) -> dict[str, nn.Parameter | None]:
        """Return the parameters of the plain layer."""
        layer = self._layer()
        if isinstance(layer, LaidOutLinear):
            lay_back_layer(layer)
        return self if layer is None else layer._parameters

    def __getitem__(self, name: str) -> nn.Parameter | None:
        return self.plain()[name] if name == "weight" else super().__getitem__(name)

    def __setitem__(self, name: str, parameter: nn.Parameter | None) -> None:
        self.plain()[name] = parameter

    def __delitem__(self, name: str) -> None:
        del self.plain()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain())

    def get(self, name: str, default: Any = None) -> Any:
        return self.plain().get(name, default)

    def items(self) -> Any:
        return self.plain().items()

    def values(self) -> Any:
        return self.plain().values()


def lay_out_once_repaid(backbone: PreTrainedModel, forwards: int) -> None:
    """Lay the LLM out, if so many forwards are to come that it pays, on this processor.

    Callers hold the model's lock.

    Args:
        backbone: the LLM; one on another device, or of small matrices alone, is left as it is.
        forwards: how many are to come; those of earlier calls count, too.
    """
    count = _forwards.get(backbone, 0) + forwards
    _forwards[backbone] = count if count < REPAID_AFTER else 0
    if count >= REPAID_AFTER:
        lay_out(backbone)


def lay_out(backbone: nn.Module) -> None:
    """Lay out every plain matrix that is faster so and that nothing else holds.

    Memory has to hold the matrices once more, as much again being left: where the system maps them
    from a file, other processes share that copy, and the laid-out one is this process's own.

    Args:
        backbone: the LLM, on a CPU.
    """
    with _lock:
        layers = list(_to_lay_out(backbone))
        size = sum(layer.weight.nbytes for layer in layers)
        if not layers or 2 * size > available_memory():
            return
        for layer in layers:
            _lay_out_layer(layer)
        logger.info("laid out %d matrices of %s", len(layers), type(backbone).__name__)


def lay_back(backbone: nn.Module) -> None:
    """Make every matrix plain again."""
    for module in backbone.modules():
        if isinstance(module, LaidOutLinear):
            lay_back_layer(module)


def lay_back_layer(layer: LaidOutLinear) -> None:
    """Make a layer plain again; do nothing if another thread has done so."""
    with _lock:
        laid_out = layer.__dict__.pop("laid_out", None)
        if laid_out is None:
            return
        with torch.inference_mode(mode=False), torch.no_grad():
            weight = nn.Parameter(laid_out.to_dense(), requires_grad=False)
        others = dict.items(layer.__dict__["_parameters"])
        layer.__dict__["_parameters"] = {**dict(others), "weight": weight}
        layer.__class__ = nn.Linear  # type: ignore[assignment]


def _lay_out_layer(layer: nn.Linear) -> None:
    """Lay out the weight of a plain layer, and free it.

    A thread that reads the weight meanwhile finds it: the plain one, or that which is laid back.
    """
    weight = layer.weight.detach()
    parameters = _Parameters(layer)
    layer.__dict__["laid_out"] = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    layer.__class__ = LaidOutLinear
    layer.__dict__["_parameters"] = parameters
    drop_file_pages(weight)


def _to_lay_out(backbone: nn.Module) -> Iterator[nn.Linear]:
    """Yield the layers to lay out."""
    owners = Counter(map(id, _weights(backbone)))
    for module in backbone.modules():
        # a subclass, or a wrapper of its forward, may read the weight at every call
        if type(module) is not nn.Linear or "forward" in module.__dict__:
            continue
        weight = module.weight
        is_tied = owners[id(weight)] > 1  # such as the output matrix to the input embedding
        held_elsewhere = sys.getrefcount(weight) > _REFERENCES
        if not _is_plain(weight) or weight.numel() < LEAST_WEIGHTS or is_tied or held_elsewhere:
            continue
        if weight.dtype in LAID_OUT and LAID_OUT[weight.dtype].is_faster():
            yield module


def _weights(backbone: nn.Module) -> Iterator[nn.Parameter]:
    """Yield every parameter once for each module that has it; laid-out ones have no other."""
    for module in backbone.modules():
        yield from (each for each in dict.values(module._parameters) if each is not None)


def _is_plain(weight: Tensor) -> bool:
    """Return whether a weight is nothing but numbers in memory, which no gradient changes."""
    return (
        type(weight.data) is Tensor
        and weight.device.type == "cpu"
        and weight.layout == torch.strided
        and weight.is_contiguous()
        and not weight.requires_grad
    )


def _can_multiply(inputs: Tensor, dtype: torch.dtype) -> bool:
    """Return whether the product of a laid-out weight is what the plain layer would return."""
    needs_gradient = inputs.requires_grad and torch.is_grad_enabled()
    return (
        type(inputs) is Tensor
        and inputs.dtype == dtype
        and inputs.device.type == "cpu"
        and inputs.dim() > 1
        and not needs_gradient
        and not torch.is_autocast_enabled("cpu")
    )


def _both(dtype: torch.dtype) -> tuple[Way, Way]:
    """Return both ways for few rows, and for many: each takes about half of the time."""
    batches = [torch.ones(rows, 1024, dtype=dtype) for rows in (*[16] * 4, 256)]
    weight = torch.ones(2**12, 1024, dtype=dtype)

    def usual() -> Tensor:
        kernel = float32_kernel(256) if dtype == torch.float32 else F.linear
        return [kernel(rows, weight) for rows in batches][-1]

    if not has_onednn() or not _has_layout(dtype):
        return usual, usual
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return (lambda: [by_onednn(rows, laid_out) for rows in batches][-1]), usual


def _has_layout(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies in that dtype on this processor."""
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


LAID_OUT = {
    dtype: FasterWay(f"matrices of {name} in oneDNN's layout", partial(_both, dtype))
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32"))
}
