"""A linear layer whose weight is in oneDNN's own layout, until its weight is asked for.

Nothing but oneDNN reads that layout. So the plain weight is freed while the layer is laid out, and
is laid back, bit by bit as it was, when anything reads it: training, saving, a hash,
`parameters()`, a copy of the LLM. What the LLM's own forward computes without gradient reads the
laid-out weight, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from weakref import ref

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd import forward_ad

from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.products import by_onednn
from llm2vec_gen_rag.backbone.resident_memory import drop_file_pages

# rows for which a layout is chosen: it hardly depends on them, nor does the time of few rows
ROWS = 64

_lock = ForkSafeLock()


class LaidOutLinear(nn.Linear):
    """A linear layer whose weight is in oneDNN's layout; `lay_out_layer` makes one of a plain one.

    Attributes:
        laid_out: the weight, (out, in).
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
        if laid_out is None or not _can_multiply(input, laid_out.dtype, self.bias):
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
        if layer is None:
            raise ReferenceError("the layer of these parameters is gone, and its weight with it")
        if isinstance(layer, LaidOutLinear):
            lay_back_layer(layer)
        return layer._parameters

    def __getitem__(self, name: str) -> nn.Parameter | None:
        return self.plain()[name] if name == "weight" else super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain())


def _of_plain(method: str) -> Any:
    """Return a method of the dictionary that asks the plain layer's."""
    return lambda self, *given, **named: getattr(self.plain(), method)(*given, **named)


for _method in (
    *("__setitem__", "__delitem__", "__or__", "__ror__", "__ior__", "__eq__", "get", "items"),
    *("values", "copy", "update", "setdefault", "pop", "popitem", "clear"),
):
    setattr(_Parameters, _method, _of_plain(_method))


def lay_out_layer(layer: nn.Linear) -> None:
    """Lay out the weight of a plain layer that alone holds it, and free the plain one.

    A thread that reads the weight meanwhile finds it: the plain one, or that which is laid back.

    Args:
        layer: see `can_be_laid_out`.

    Raises:
        RuntimeError: if there is no memory for it; the layer is plain then.
    """
    with _lock:
        weight = layer.weight.detach()
        parameters = _Parameters(layer)
        layer.__dict__["laid_out"] = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        layer.__class__ = LaidOutLinear
        layer.__dict__["_parameters"] = parameters
    drop_file_pages(weight)


def lay_back_layer(layer: LaidOutLinear) -> None:
    """Make a layer plain again; do nothing if another thread has done so.

    The laid-out weight is dropped once the plain one is in its place: no interrupt loses both.
    """
    with _lock:
        laid_out = layer.__dict__.get("laid_out")
        if laid_out is None:
            return
        # a parameter like any other, though a caller computes in a mode or transform of torch's own
        with torch.inference_mode(mode=False), torch.no_grad(), torch._C._DisableFuncTorch():
            weight = nn.Parameter(laid_out.to_dense(), requires_grad=False)
        held = layer.__dict__["_parameters"]
        plain = dict(dict.items(held), weight=weight)  # `held.items()` would lay the layer back
        layer.__dict__.update(_parameters=plain, laid_out=None)
        layer.__class__ = nn.Linear  # type: ignore[assignment]
        layer.__dict__.pop("laid_out", None)


def lay_back(backbone: nn.Module) -> bool:
    """Make every layer plain again; return whether there was one that was not."""
    found = [module for module in backbone.modules() if isinstance(module, LaidOutLinear)]
    for layer in found:
        lay_back_layer(layer)
    return len(found) > 0


def weight_dtype(layer: nn.Linear) -> torch.dtype:
    """Return the dtype of a layer's weight, and leave the layer as it is."""
    laid_out = layer.__dict__.get("laid_out")
    return (layer.weight if laid_out is None else laid_out).dtype


def can_be_laid_out(module: nn.Module) -> bool:
    """Return whether a module is a plain linear layer on a CPU that nothing changes or shares.

    A subclass, or what wraps a layer's forward, may read the weight at every call. What holds the
    weight, as an optimizer or a state dict does, may change it later.
    """
    if type(module) is not nn.Linear or "forward" in module.__dict__:
        return False
    if _holders(module) != _ALONE:  # asked before this function holds the weight, too
        return False
    weight = module.weight
    return (
        type(weight.data) is Tensor
        and weight.device.type == "cpu"
        and weight.layout == torch.strided
        and weight.is_contiguous()
        and not weight.is_shared()
        and not any(parameter.requires_grad for parameter in module.parameters())
    )


def _holders(layer: nn.Linear) -> tuple[int, int]:
    """Return how many hold the weight, and its memory, while this function asks."""
    weight: Any = layer.weight
    memory = weight.untyped_storage()
    return sys.getrefcount(weight), torch._C._storage_Use_Count(memory._cdata)


_ALONE = _holders(nn.Linear(1, 1, device="cpu"))


def _can_multiply(inputs: Tensor, dtype: torch.dtype, bias: Tensor | None) -> bool:
    """Return whether the product of a laid-out weight is what the plain layer would return."""
    needs_gradient = inputs.requires_grad or (bias is not None and bias.requires_grad)
    return (
        type(inputs) is Tensor
        and inputs.dtype == dtype
        and inputs.device.type == "cpu"
        and inputs.dim() > 1
        and not (needs_gradient and torch.is_grad_enabled())
        and forward_ad._current_level < 0
        and not torch.is_autocast_enabled("cpu")
    )
