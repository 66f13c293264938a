"""The frozen LLM's layers on a CPU, under gradient, with little kept for the way back.

Gradient has to come through the layers, and to none of their weights. So a matrix product has
nothing to keep, and what stands between two products is kept as what goes in, and computed again:
a norm keeps its input, the gated feed-forward its two factors, attention queries, keys and values.
The layers are those of `transformers`, called one by one with the modules they consist of.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from llm2vec_gen_rag.causal_pass import (
    by_head,
    has_known_layers,
    inverse_root_mean_square,
    rotated,
)

BLOCK = 128  # queries of attention that go together


def runs_under_gradient(backbone: PreTrainedModel) -> bool:
    """Return whether `last_states` computes what the LLM's own forward does.

    That its layers attend to all before them, and not back a window, is for the caller to see to.
    """
    return has_known_layers(backbone) and backbone.config.hidden_act == "silu"


def last_states(backbone: PreTrainedModel, inputs: Tensor, *, recomputed: bool = False) -> Tensor:
    """Return the last hidden states, (batch, tokens, hidden).

    Args:
        backbone: an LLM that `runs_under_gradient`, none of whose weights requires gradient.
        inputs: (batch, tokens, hidden) input embeddings, padded on the right.
        recomputed: whether a layer keeps its input alone, and is computed again on the way back.
    """
    model: Any = backbone.base_model
    rotary = model.rotary_emb(inputs, torch.arange(inputs.shape[1])[None])
    states = inputs
    for layer in model.layers:
        output = partial(_layer_output, layer, rotary=rotary)
        states = checkpoint(output, states, use_reentrant=False) if recomputed else output(states)
    return _normed(model.norm, states)


def _layer_output(layer: Any, states: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Return the states (batch, tokens, hidden) behind a layer."""
    attention, feed_forward = layer.self_attn, layer.mlp
    normed = _normed(layer.input_layernorm, states)
    values = by_head(attention, "v", normed, _normed)
    queries = rotated(by_head(attention, "q", normed, _normed), rotary) * attention.scaling
    keys = rotated(by_head(attention, "k", normed, _normed), rotary)
    # under autocast a norm and the rotation widen what a product narrowed
    queries, keys = queries.to(values.dtype), keys.to(values.dtype)
    states = states + attention.o_proj(_attended(queries, keys, values))
    normed = _normed(layer.post_attention_layernorm, states)
    gated = _Gated.apply(feed_forward.gate_proj(normed), feed_forward.up_proj(normed))  # type: ignore[no-untyped-call]
    output: Tensor = states + feed_forward.down_proj(gated)
    return output


def _normed(norm: Any, states: Tensor) -> Tensor:
    normed: Tensor = _RootMeanSquareNorm.apply(states, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return normed


def _attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what queries read of values at their own position and before.

    Args:
        queries: (batch, tokens, heads, head), scaled already.
        keys: (batch, tokens, key heads, head); a group of heads shares each key head.
        values: as the keys.

    Returns:
        (batch, tokens, heads * head).
    """
    batch, tokens, groups, width = keys.shape
    by_group = queries.transpose(1, 2).reshape(batch * groups, -1, tokens, width)
    keys, values = (part.transpose(1, 2).flatten(0, 1) for part in (keys, values))
    read: Tensor = _Attention.apply(by_group, keys, values)  # type: ignore[no-untyped-call]
    return read.view(batch, -1, tokens, width).transpose(1, 2).flatten(2)


class _RootMeanSquareNorm(torch.autograd.Function):
    """y = w x / r with r = sqrt(mean(x^2) + eps) (arXiv 1910.07467), in float32 as the LLM's own.

    dx = (g - n mean(g n)) / r, where n = x / r and g = w dy.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = inverse_root_mean_square(states, epsilon)
        ctx.save_for_backward(states, weight, scale)
        return (states * scale).to(states.dtype) * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        states, weight, scale = ctx.saved_tensors
        normed = states * scale
        weighted = gradient.float() * weight
        along = (weighted * normed).mean(dim=-1, keepdim=True)
        return weighted.addcmul_(normed, along, value=-1).mul_(scale).to(states.dtype), None, None


class _Gated(torch.autograd.Function):
    """silu(gate) * up (arXiv 2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        to_gate: Tensor = torch.ops.aten.silu_backward(gradient * up, gate)
        return to_gate, F.silu(gate).mul_(gradient)


class _Attention(torch.autograd.Function):
    """O = P V with P = softmax(Q K^T), block by block: none sees the keys behind its own end.

    dV = P^T dO, dS = P * (dP - sum(dP P)) with dP = dO V^T, dQ = dS K, dK = dS^T Q.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, values)
        read = torch.empty_like(queries)
        for rows, seen in _blocks(keys.shape[1]):
            shares = _shares(queries[:, :, rows].flatten(1, 2), keys[:, seen], rows)
            read[:, :, rows] = torch.bmm(shares, values[:, seen]).view_as(read[:, :, rows])
        return read

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values = ctx.saved_tensors
        to_queries = torch.empty_like(queries)
        to_keys, to_values = torch.zeros_like(keys), torch.zeros_like(values)
        for rows, seen in _blocks(keys.shape[1]):
            asked, given = (part[:, :, rows].flatten(1, 2) for part in (queries, gradient))
            shares = _shares(asked, keys[:, seen], rows)
            to_values[:, seen].baddbmm_(shares.mT, given)
            to_shares = torch.bmm(given, values[:, seen].mT)
            to_scores = torch.ops.aten._softmax_backward_data(to_shares, shares, -1, shares.dtype)
            to_keys[:, seen].baddbmm_(to_scores.mT, asked)
            to_queries[:, :, rows] = torch.bmm(to_scores, keys[:, seen]).view_as(
                queries[:, :, rows]
            )
        return to_queries, to_keys, to_values


def _blocks(tokens: int) -> list[tuple[slice, slice]]:
    """Return the queries of each block, and the keys that they look at."""
    starts = range(0, tokens, BLOCK)
    ends = [min(start + BLOCK, tokens) for start in starts]
    return [(slice(start, end), slice(end)) for start, end in zip(starts, ends, strict=True)]


def _shares(queries: Tensor, keys: Tensor, rows: slice) -> Tensor:
    """Return how much each query reads of each value, (groups, heads * rows, keys)."""
    scores = torch.bmm(queries, keys.mT)
    behind = torch.arange(rows.stop) > torch.arange(rows.start, rows.stop)[:, None]
    scores.view(len(scores), -1, *behind.shape).masked_fill_(behind, -torch.inf)
    return scores.softmax(dim=-1)
