"""One layer of the frozen LLM under gradient, forward and backward; no weight gets a gradient.

So a matrix product needs nothing saved. What the matrices computed is saved, and what lies between
two products is computed again in the backward pass: norms, rotation, attention weights, the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from llm2vec_gen_rag.cpu.attention import blockwise_attention, blockwise_attention_backward
from llm2vec_gen_rag.cpu.layer import (
    KeysValues,
    LayerContext,
    concatenated,
    divide_by_rms,
    head_norm,
    input_matrices,
    keys_values_of,
    rms_norm,
    rotate,
    scaled_queries,
    split_heads,
)


@dataclass(frozen=True)
class SavedActivations:
    """What a layer saves for the backward pass.

    Attributes:
        states: the input of the layer, (rows, hidden).
        middle: the states between attention and feed-forward, (rows, hidden).
        queries: the products of `input_matrices`, (rows, width) each: before norm and rotation.
        keys: before norm and rotation.
        values: as attention takes them.
        gate: before the activation.
        up: what the activated gate is multiplied with.
    """

    states: Tensor
    middle: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    gate: Tensor
    up: Tensor


def forward_layer(
    layer: Any, saved: SavedActivations, context: LayerContext, prefix: KeysValues | None
) -> Tensor:
    """Fill the saved activations from `saved.states`.

    Args:
        layer: a decoder layer of `transformers`.
        saved: the buffers to fill.
        context: what attention depends on beside the states.
        prefix: keys and values that precede the texts in this layer.

    Returns:
        silu(gate) * up, (rows, intermediate), which the down projection multiplies.
    """
    query, key, value, gate, up = input_matrices(layer)
    normed = rms_norm(layer.input_layernorm, saved.states).to(saved.gate.dtype)
    for matrix, out in ((query, saved.queries), (key, saved.keys), (value, saved.values)):
        _multiply_into(out, matrix, normed)
    inputs = _attention_inputs(layer.self_attn, saved, context, prefix)
    attended = blockwise_attention(*inputs, context.positions, context.padding)
    output = multiply(layer.self_attn.o_proj, context.packing.unpad(attended))
    torch.add(saved.states, output, out=saved.middle)
    normed = rms_norm(layer.post_attention_layernorm, saved.middle).to(saved.gate.dtype)
    for matrix, out in ((gate, saved.gate), (up, saved.up)):
        _multiply_into(out, matrix, normed)
    return F.silu(saved.gate).mul_(saved.up)


def multiply(matrix: Any, rows: Tensor) -> Tensor:
    """Return the product of a matrix and rows, in the dtype of the rows."""
    bias = None if matrix.bias is None else matrix.bias.to(rows.dtype)
    return F.linear(rows, matrix.weight.to(rows.dtype), bias)


def backward_layer(
    layer: Any,
    saved: SavedActivations,
    context: LayerContext,
    prefix: KeysValues | None,
    gradient: Tensor,
) -> Tensor:
    """Return the gradient of a layer's input, given that of its output, both (rows, hidden).

    Args:
        layer: a decoder layer of `transformers`.
        saved: filled by `forward_layer`.
        context: as in the forward pass.
        prefix: as in the forward pass.
        gradient: of the output.

    Returns:
        The gradient, in the dtype of the states.
    """
    middle_gradient = _feed_forward_backward(layer, saved, gradient)
    return _attention_backward(layer, saved, context, prefix, middle_gradient)


def rms_norm_backward(norm: Any, states: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of the input of `rms_norm`, in its shape and dtype.

    With y = w x / r, r = sqrt(mean(x^2) + eps), n = x / r and g = w dy it is
    (g - n mean(g n)) / r, computed in float32.
    """
    normed, scale = divide_by_rms(states, norm.variance_epsilon)
    weighted = torch.empty_like(normed).copy_(gradient.view_as(states)).mul_(norm.weight.float())
    along = (weighted * normed).mean(dim=-1, keepdim=True)
    return weighted.sub_(normed.mul_(along)).mul_(scale).to(states.dtype)


def _feed_forward_backward(layer: Any, saved: SavedActivations, gradient: Tensor) -> Tensor:
    """Return the gradient of the middle states, given that of the layer's output."""
    feed_forward = layer.mlp
    to_gated = _matrix_backward((feed_forward.down_proj, gradient.to(saved.gate.dtype)))
    to_up = F.silu(saved.gate).mul_(to_gated)
    to_gate = torch.ops.aten.silu_backward(to_gated.mul_(saved.up), saved.gate)
    to_normed = _matrix_backward((feed_forward.gate_proj, to_gate), (feed_forward.up_proj, to_up))
    norm = layer.post_attention_layernorm
    return rms_norm_backward(norm, saved.middle, to_normed).add_(gradient)


def _attention_backward(
    layer: Any,
    saved: SavedActivations,
    context: LayerContext,
    prefix: KeysValues | None,
    gradient: Tensor,
) -> Tensor:
    """Return the gradient of the layer's input, given that of the middle states."""
    attention, packing = layer.self_attn, context.packing
    to_attended = _matrix_backward((attention.o_proj, gradient.to(saved.gate.dtype)))
    to_queries, to_keys, to_values = blockwise_attention_backward(
        *_attention_inputs(attention, saved, context, prefix),
        context.positions,
        context.padding,
        packing.pad(split_heads(attention, to_attended)),
    )
    before = to_keys.shape[2] - packing.width  # the prefix is frozen: its gradient is dropped
    own_keys, own_values = (
        packing.unpad(part[:, :, before:].transpose(1, 2)) for part in (to_keys, to_values)
    )
    queries = packing.unpad(to_queries.mul_(attention.scaling))
    to_normed = _matrix_backward(
        (attention.q_proj, _heads_backward(attention, "q", saved.queries, context, queries)),
        (attention.k_proj, _heads_backward(attention, "k", saved.keys, context, own_keys)),
        (attention.v_proj, own_values.flatten(1)),
    )
    return rms_norm_backward(layer.input_layernorm, saved.states, to_normed).add_(gradient)


def _attention_inputs(
    attention: Any, saved: SavedActivations, context: LayerContext, prefix: KeysValues | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values as attention takes them."""
    queries = scaled_queries(attention, saved.queries, context)
    own = keys_values_of(attention, saved.keys, saved.values, context)
    keys, values = own if prefix is None else concatenated(prefix, own)
    return queries, keys, values


def _heads_backward(
    attention: Any, kind: str, product: Tensor, context: LayerContext, gradient: Tensor
) -> Tensor:
    """Return the gradient of a projection (rows, width), given that of its rotated heads."""
    cos, sin = context.rotary
    rotated_back, norm = rotate(gradient, (cos, -sin)), head_norm(attention, kind)
    if norm is not None:
        rotated_back = rms_norm_backward(norm, split_heads(attention, product), rotated_back)
    return rotated_back.flatten(1)


def _multiply_into(out: Tensor, matrix: Any, rows: Tensor) -> None:
    """Write the product of a matrix and rows to a buffer of the dtype of the rows."""
    weight = matrix.weight.to(rows.dtype).T
    if matrix.bias is None:
        torch.mm(rows, weight, out=out)
    else:
        torch.addmm(matrix.bias.to(rows.dtype), rows, weight, out=out)


def _matrix_backward(*products: tuple[Any, Tensor]) -> Tensor:
    """Return the gradient of rows that several matrices multiplied, given those of the products."""
    (first, its_gradient), *others = products
    rows: Tensor = its_gradient @ first.weight.to(its_gradient.dtype)
    for matrix, gradient in others:
        rows.addmm_(gradient, matrix.weight.to(gradient.dtype))
    return rows
