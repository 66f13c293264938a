"""The product of a linear layer of the LLM, by the kernel that is fast on this processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm2vec_gen_rag.backbone.laid_out import LaidOutLinear
from llm2vec_gen_rag.backbone.lora import LowRankHook
from llm2vec_gen_rag.backbone.products import by_onednn, plain_product


def linear(layer: Any, rows: Tensor) -> Tensor:
    """Return what a linear layer of the LLM computes without gradient on a CPU, hooks included.

    A call of the layer would take longer than some products of one row.

    Args:
        layer: a module.
        rows: (rows, in).

    Returns:
        (rows, out), a new tensor.
    """
    if not _is_matrix(layer) or torch.is_autocast_enabled("cpu"):
        output: Tensor = layer(rows)
        return output
    output = _product(layer, rows)
    for update in layer._forward_hooks.values():
        update(layer, (rows,), output)  # in place
    return output


def _is_matrix(layer: nn.Module) -> bool:
    """Return whether a layer is a matrix and nothing else has hooks on it than low-rank updates."""
    return (
        type(layer) in (nn.Linear, LaidOutLinear)
        and "forward" not in layer.__dict__
        and not layer._forward_pre_hooks
        and all(type(hook) is LowRankHook for hook in layer._forward_hooks.values())
    )


def _product(layer: nn.Linear, rows: Tensor) -> Tensor:
    """Return the product and the bias."""
    laid_out: Tensor | None = layer.__dict__.get("laid_out")
    if laid_out is not None and laid_out.dtype == rows.dtype:
        return by_onednn(rows, laid_out, layer.bias)
    return plain_product(rows, layer.weight, layer.bias)
