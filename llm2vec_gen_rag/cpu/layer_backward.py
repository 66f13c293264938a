"""One layer of the frozen LLM, forward and back, its weights without gradient.

A layer is x + o(attention(q, k, v of norm(x))) and that plus down(silu(gate) * up) of its norm, as
`transformers` computes it (arXiv 2302.13971, section 2.2; 2505.09388 for the norms of heads).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from llm2vec_gen_rag.cpu.attention_backward import attended, attention_gradients
from llm2vec_gen_rag.cpu.forward import (
    KeysValues,
    head_norm,
    root_mean_square_norm,
    rotated,
    unit_mean_square,
)


@dataclass(frozen=True)
class Surroundings:
    """What a layer's attention depends on beside the states, none of it with gradient.

    Attributes:
        rotary: cosines and sines of every position, each (batch or 1, tokens, head).
        hidden: (batch or 1, tokens, before + tokens), which keys are hidden from which query.
        before: keys and values of what stands in front, (batch, key heads, before, head) each.
    """

    rotary: tuple[Tensor, Tensor]
    hidden: Tensor
    before: KeysValues


@dataclass(frozen=True)
class Kept:
    """What a layer keeps for the way back.

    Attributes:
        states: that came in, (batch, tokens, hidden).
        middle: between attention and feed-forward, (batch, tokens, hidden).
        queries: before norm and rotation, (batch * tokens, width), as all that follow.
        keys: before norm and rotation.
        values: by key head.
        gate: before the activation.
        up: what the gate is multiplied with.
    """

    states: Tensor
    middle: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    gate: Tensor
    up: Tensor


def kept_matrices(layer: Any) -> list[Any]:
    """Return the matrices whose products are kept, in the order of `Kept`."""
    attention, feed_forward = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    return [*projections, feed_forward.gate_proj, feed_forward.up_proj]


def fill(layer: Any, kept: Kept, around: Surroundings) -> Tensor:
    """Compute what is kept from the states that came in; return silu(gate) * up, by token."""
    attention, (query, key, value, gate, up) = layer.self_attn, kept_matrices(layer)
    normed = _normed(layer.input_layernorm, kept.states, kept.gate.dtype)
    for matrix, out in ((query, kept.queries), (key, kept.keys), (value, kept.values)):
        _multiply(matrix, normed, out)
    read = _by_token(attended(*_attention_inputs(attention, kept, around)), kept)
    torch.add(kept.states, product(attention.o_proj, read).view_as(kept.states), out=kept.middle)
    normed = _normed(layer.post_attention_layernorm, kept.middle, kept.gate.dtype)
    for matrix, out in ((gate, kept.gate), (up, kept.up)):
        _multiply(matrix, normed, out)
    return F.silu(kept.gate).mul_(kept.up)


def product(matrix: Any, rows: Tensor) -> Tensor:
    """Return what a matrix makes of rows, in the dtype of the rows."""
    bias = None if matrix.bias is None else matrix.bias.to(rows.dtype)
    return F.linear(rows, matrix.weight.to(rows.dtype), bias)


def layer_gradient(layer: Any, kept: Kept, around: Surroundings, gradient: Tensor) -> Tensor:
    """Return the gradient of the states that came in, given that of those behind the layer."""
    middle_gradient = _feed_forward_gradient(layer, kept, gradient)
    return _attention_gradient(layer, kept, around, middle_gradient)


def norm_gradient(norm: Any, states: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of what a norm was given, in its shape and dtype.

    With y = w x / r, r = sqrt(mean(x^2) + eps), n = x / r and g = w dy it is
    (g - n mean(g n)) / r, computed in float32.
    """
    normed, scale = unit_mean_square(states, norm.variance_epsilon)
    weighted = torch.empty_like(normed).copy_(gradient.view_as(states)).mul_(norm.weight.float())
    along = (weighted * normed).mean(dim=-1, keepdim=True)
    return weighted.sub_(normed.mul_(along)).mul_(scale).to(states.dtype)


def _feed_forward_gradient(layer: Any, kept: Kept, gradient: Tensor) -> Tensor:
    """Return the gradient of the middle states, given that of those behind the layer."""
    feed_forward = layer.mlp
    to_gated = _back((feed_forward.down_proj, gradient.flatten(0, 1).to(kept.gate.dtype)))
    to_up = F.silu(kept.gate).mul_(to_gated)
    to_gate = torch.ops.aten.silu_backward(to_gated.mul_(kept.up), kept.gate)
    to_normed = _back((feed_forward.gate_proj, to_gate), (feed_forward.up_proj, to_up))
    return norm_gradient(layer.post_attention_layernorm, kept.middle, to_normed).add_(gradient)


def _attention_gradient(layer: Any, kept: Kept, around: Surroundings, gradient: Tensor) -> Tensor:
    """Return the gradient of the states that came in, given that of the middle states."""
    attention, before = layer.self_attn, around.before[0].shape[2]
    inputs = _attention_inputs(attention, kept, around)
    to_read = _back((attention.o_proj, gradient.flatten(0, 1).to(kept.gate.dtype)))
    to_read = _by_head(to_read, kept, attention).transpose(1, 2).reshape(inputs[0].shape)
    to_queries, to_keys, to_values = attention_gradients(*inputs, to_read)
    to_queries = _by_token(to_queries.mul_(attention.scaling), kept)
    to_keys, to_values = (_by_token(part[:, before:], kept) for part in (to_keys, to_values))
    to_queries = _unturned(attention, "q", kept, kept.queries, around, to_queries)
    to_keys = _unturned(attention, "k", kept, kept.keys, around, to_keys)
    to_normed = _back(
        (attention.q_proj, to_queries),
        (attention.k_proj, to_keys),
        (attention.v_proj, to_values),
    )
    return norm_gradient(layer.input_layernorm, kept.states, to_normed).add_(gradient)


def _attention_inputs(
    attention: Any, kept: Kept, around: Surroundings
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return queries, (groups, heads, tokens, head), keys, values and the mask for `attended`."""
    queries = _turned(attention, "q", kept, kept.queries, around).mul_(attention.scaling)
    keys = _turned(attention, "k", kept, kept.keys, around)
    values = _by_head(kept.values, kept, attention)
    keys, values = (
        torch.cat([before, own.transpose(1, 2)], dim=2).flatten(0, 1)
        for before, own in zip(around.before, (keys, values), strict=True)
    )
    tokens, width = queries.shape[1], queries.shape[-1]
    grouped = queries.transpose(1, 2).reshape(len(keys), -1, tokens, width)
    return grouped, keys, values, around.hidden


def _turned(attention: Any, kind: str, kept: Kept, rows: Tensor, around: Surroundings) -> Tensor:
    """Return queries or keys by head, (batch, tokens, heads, head), of a product that is kept."""
    heads, norm = _by_head(rows, kept, attention), head_norm(attention, kind)
    return rotated(heads if norm is None else root_mean_square_norm(norm, heads), around.rotary)


def _unturned(
    attention: Any, kind: str, kept: Kept, rows: Tensor, around: Surroundings, gradient: Tensor
) -> Tensor:
    """Return the gradient of a product, given that of what `_turned` makes of it, by token."""
    cos, sin = around.rotary
    heads, norm = _by_head(rows, kept, attention), head_norm(attention, kind)
    turned_back = rotated(_by_head(gradient, kept, attention), (cos, -sin))
    if norm is not None:
        turned_back = norm_gradient(norm, heads, turned_back)
    return turned_back.flatten(2).flatten(0, 1)


def _by_head(rows: Tensor, kept: Kept, attention: Any) -> Tensor:
    """Return rows (batch * tokens, width) as (batch, tokens, heads, head)."""
    batch, tokens, _ = kept.states.shape
    return rows.view(batch, tokens, -1, attention.head_dim)


def _by_token(grouped: Tensor, kept: Kept) -> Tensor:
    """Return heads in groups, (groups, ..., tokens, head), as rows (batch * tokens, width)."""
    batch, tokens, _ = kept.states.shape
    by_head = grouped.reshape(batch, -1, tokens, grouped.shape[-1])
    return by_head.transpose(1, 2).reshape(batch * tokens, -1)


def _normed(norm: Any, states: Tensor, dtype: torch.dtype) -> Tensor:
    """Return normed states as rows to multiply."""
    return root_mean_square_norm(norm, states).flatten(0, 1).to(dtype)


def _multiply(matrix: Any, rows: Tensor, out: Tensor) -> None:
    """Write down what a matrix makes of rows."""
    weight = matrix.weight.to(rows.dtype).T
    if matrix.bias is None:
        torch.mm(rows, weight, out=out)
    else:
        torch.addmm(matrix.bias.to(rows.dtype), rows, weight, out=out)


def _back(*products: tuple[Any, Tensor]) -> Tensor:
    """Return the gradient of rows, summed over matrices, given those of what each made of them."""
    (first, its_gradient), *others = products
    rows: Tensor = its_gradient @ first.weight.to(its_gradient.dtype)
    for matrix, gradient in others:
        rows.addmm_(gradient, matrix.weight.to(gradient.dtype))
    return rows
