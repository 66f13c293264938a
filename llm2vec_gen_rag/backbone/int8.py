"""The linear layers of an LLM in 8 bits on a CPU: weights rounded once, inputs at each call.

With s_x = max |x| / 127 of a row of the inputs and s_w = max |w| / 127 of a row of the weights,

    y = s_x s_w (round(x_R / s_x) . round(w_R / s_w)) + x_O . w_O + b

where O are the input columns with the largest values, whose scale would round all others to
nothing, and R are the rest (LLM.int8(), arXiv 2208.07339, section 3.2). O is the same for every
input, as the columns of an LLM's outliers are (section 4). Products of integers are exact, so the
result of a row depends on the other rows of its batch in no more than the last digits of x_O . w_O.
A CPU that multiplies 8 bits slowly or wrongly multiplies the same integers in float32: exactly up
to 2^24, and beyond that to float32's last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.products import float32_kernel
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults

LARGEST = 127
# one of so many input columns is not rounded: with none, embeddings of SmolLM2-135M have a mean
# cosine of 0.948 to those of float32, with 1 of 144 0.988, 1 of 36 0.994, 1 of 16 0.997
OUTLIERS = 16
PROBE_TOKENS = 128  # of the forward that finds them; twice as many find no better ones


class Int8Linear(nn.Module):
    """A frozen linear layer that multiplies 8-bit integers on a CPU, without gradient.

    Attributes:
        weight: (out, in) int8.
        scale: (out,) float32, the factor of each row of the weights.
        bias: (out,) in the dtype of the layer, or None.
        outliers: (k,) the input columns that are not rounded.
        outlier_weight: (out, k) their weights in the dtype of the layer.
    """

    outliers: Tensor
    outlier_weight: Tensor

    def __init__(self, layer: nn.Linear, outliers: Tensor | None = None) -> None:
        """Round the weights of a layer.

        Args:
            layer: is not changed, and shares its bias.
            outliers: (k,) the input columns that are not rounded; None: all are.
        """
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        whole = layer.weight.detach()
        # parameters rather than buffers: hashes of the LLM's weights read parameters
        weight, scale = rounded_rows(whole)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(scale.squeeze(1), requires_grad=False)
        self.bias = layer.bias
        # buffers, for the same reason: the columns differ from CPU to CPU, the weights do not
        kept = torch.empty(0, dtype=torch.long) if outliers is None else outliers
        self.register_buffer("outliers", kept, persistent=False)
        self.register_buffer("outlier_weight", whole[:, kept], persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply the inputs, rounded to 8 bits, with the weights, and add outliers and bias.

        Args:
            inputs: (..., in) in any floating-point dtype.

        Returns:
            (..., out) in the dtype of the inputs.

        Raises:
            ValueError: if the inputs require a gradient, which integers do not carry.
        """
        if inputs.requires_grad and torch.is_grad_enabled():
            refuse_gradient(torch.int8)
        rows = inputs.reshape(-1, self.in_features)
        rounded, scale = rounded_rows(rows.index_fill(1, self.outliers, 0))
        product = multiplied(rounded, self.weight).mul_(scale).mul_(self.scale)
        if len(self.outliers):
            kept = rows[:, self.outliers].to(self.outlier_weight.dtype)
            product.add_(F.linear(kept, self.outlier_weight))
        if self.bias is not None:
            product.add_(self.bias)
        return product.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)


def rounded_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return a matrix (rows, columns) in int8, and the float32 scale of each row, (rows, 1).

    A row with NaN or infinity gets a scale that is not finite either, so neither are its products.
    """
    scale = matrix.abs().amax(dim=1, keepdim=True).float().div_(LARGEST)
    scale.clamp_(min=torch.finfo(torch.float32).tiny)  # so that a row of zeros stays zeros
    # divided in float32, as bfloat16 would round the quotient twice; copied, then divided in place,
    # as one operation over two dtypes takes two to three times as long
    quotient = torch.empty(matrix.shape, dtype=torch.float32).copy_(matrix).div_(scale)
    return quotient.round_().to(torch.int8), scale


def multiplied(rows: Tensor, weight: Tensor) -> Tensor:
    """Return the products of integers, by whichever way is fast on this CPU.

    Args:
        rows: (rows, in) int8.
        weight: (out, in) int8.

    Returns:
        (rows, out) float32.
    """
    return (_by_int8 if has_fast_products() else _by_float32)(rows, weight)


def has_fast_products() -> bool:
    """Return whether this CPU multiplies 8 bits exactly, and faster than it does float32.

    It takes oneDNN, and on x86 VNNI. Without them a product takes ten to thirty times as long, and
    sums may overflow at 16 bits ("Nuances of int8 computations" in oneDNN's manual).
    """
    return _is_exact() and PRODUCTS_OF_INT8.is_faster()


@cache
def _is_exact() -> bool:
    return bool((_by_int8(*_largest()) == 512 * LARGEST**2).all())


def _largest() -> tuple[Tensor, Tensor]:
    """Return rows and weights whose products are the largest that there are."""
    return torch.full((64, 512), LARGEST).char(), torch.full((512, 512), LARGEST).char()


def _by_int8(rows: Tensor, weight: Tensor) -> Tensor:
    return torch._int_mm(rows, weight.t()).float()


def _by_float32(rows: Tensor, weight: Tensor) -> Tensor:
    return float32_kernel(len(rows))(rows.float(), weight.float())


def _both() -> tuple[Way, Way]:
    inputs = _largest()
    return partial(_by_int8, *inputs), partial(_by_float32, *inputs)


PRODUCTS_OF_INT8 = FasterWay("products of 8 bits", _both)


def quantize_layers(backbone: PreTrainedModel) -> None:
    """Replace each linear layer between embedding and output layer by an `Int8Linear`.

    All other weights are copied into memory of their own: one that still refers to the file of the
    weights would keep the whole file mapped.

    Args:
        backbone: the LLM; changed in place.

    Raises:
        ValueError: if it has no such layer.
    """
    layers: nn.Module = getattr(backbone.base_model, "layers", nn.ModuleList())
    paths = [path for path, module in layers.named_modules() if type(module) is nn.Linear]
    if not paths:
        raise ValueError(
            f"dtype='int8' found no torch.nn.Linear in the layers of {type(backbone).__name__}; "
            "expected an LLM whose layers consist of them. Pass dtype=None."
        )
    outliers = outlier_columns(backbone, {path: layers.get_submodule(path) for path in paths})
    for path in paths:
        parent, _, name = path.rpartition(".")
        linear: Any = layers.get_submodule(path)
        setattr(layers.get_submodule(parent), name, Int8Linear(linear, outliers.get(path)))
    for parameter in backbone.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()


def outlier_columns(
    backbone: PreTrainedModel, layers: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """Return the input columns of each layer with the largest values, one of `OUTLIERS`.

    They are read from one forward of tokens from all over the vocabulary: which columns are large
    depends on the LLM, hardly on what it reads.

    Args:
        backbone: the LLM, in floating point.
        layers: its linear layers, by name.

    Returns:
        The columns of each that reads anything in it, (in / 16,), by its name.
    """
    largest: dict[str, Tensor] = {}

    def keep_largest(name: str, inputs: Tensor) -> None:
        rows = inputs.flatten(0, -2).abs()
        if len(rows):  # an expert may have none
            found = rows.amax(dim=0)
            largest[name] = torch.maximum(largest.get(name, found), found)

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: keep_largest(name, given[0]))
        for name, layer in layers.items()
    ]
    embeddings: Any = backbone.get_input_embeddings()
    order = torch.randperm(PROBE_TOKENS, generator=torch.Generator().manual_seed(0))
    tokens = torch.linspace(0, embeddings.num_embeddings - 1, PROBE_TOKENS).long()[order]
    try:
        with torch_defaults(), torch.no_grad():
            backbone.base_model(input_ids=tokens[None], use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: found.topk(len(found) // OUTLIERS).indices.sort().values
        for name, found in largest.items()
    }


def has_int8_layers(backbone: nn.Module) -> bool:
    """Return whether an LLM has layers in 8 bits."""
    return any(isinstance(module, Int8Linear) for module in backbone.modules())


def refuse_gradient(dtype: torch.dtype | None) -> None:
    """Raise ValueError if an LLM in this dtype carries no gradient, which training needs."""
    if dtype == torch.int8:
        raise ValueError(
            "the LLM is in int8, which carries no gradient; expected float32 or bfloat16. int8 is "
            "for embedding: train in one of those, and load what was trained with dtype='int8'."
        )
