"""The steps of one layer, which the forward with and without gradient share.

A layer is m = x + o(attention(q, k, v of norm(x))) and then m + down(silu(gate) * up) of norm(m),
as `transformers` computes it (arXiv 2302.13971, section 2.2; 2505.09388 for the norms of heads).
Rows are packed: (rows, ...) holds the tokens of all texts, concatenated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm2vec_gen_rag.backbone.linear import linear
from llm2vec_gen_rag.cpu.packing import Packing

KeysValues = tuple[Tensor, Tensor]  # each (batch, key heads, tokens, head)
# cosines and signed sines of each row's position, each (rows, head); see `rotate`
Rotary = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LayerContext:
    """What the attention of every layer depends on beside the states.

    Attributes:
        packing: which rows belong to which text.
        rotary: of each row's position.
        positions: of the queries among the keys: (width,), or (batch, width) where texts differ.
        padding: (batch, keys), True where a key is padding; None if none is.
    """

    packing: Packing
    rotary: Rotary
    positions: Tensor
    padding: Tensor | None = None


def input_matrices(layer: Any) -> list[Any]:
    """Return the matrices that multiply normed states: q, k, v, gate and up."""
    attention, feed_forward = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    return [*projections, feed_forward.gate_proj, feed_forward.up_proj]


def feed_forward(mlp: Any, normed: Tensor) -> Tensor:
    """Return down(act(gate) * up) of normed states (rows, hidden), a new tensor."""
    gate = mlp.act_fn(linear(mlp.gate_proj, normed))
    return linear(mlp.down_proj, gate.mul_(linear(mlp.up_proj, normed)))


def rotary_of(model: Any, states: Tensor, positions: Tensor) -> Rotary:
    """Return cosines and signed sines of some positions (rows,), in the dtype of the states."""
    cos, sin = model.rotary_emb(states, positions[None])
    first, second = sin[0].chunk(2, dim=-1)
    return cos[0], torch.cat([-first, second], dim=-1)


def rms_norm(norm: Any, states: Tensor) -> Tensor:
    """Return w x / r with r = sqrt(mean(x^2) + eps) (arXiv 1910.07467), as the LLM's own module.

    The mean and the division are computed in float32.
    """
    normed, _ = divide_by_rms(states, norm.variance_epsilon)
    return normed.to(states.dtype).mul_(norm.weight)


def divide_by_rms(states: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return x / r and 1 / r, (..., 1), of `rms_norm`, both new tensors in float32."""
    # a copy, then in place: one operation over two dtypes takes up to ten times as long
    wide = states.to(torch.float32, copy=True)
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    added = torch.full((), epsilon, dtype=torch.float32)
    scale = torch.addcmul(added, length, length, value=1 / states.shape[-1]).rsqrt_()
    return wide.mul_(scale), scale


def rotate(heads: Tensor, rotary: Rotary) -> Tensor:
    """Return heads (rows, heads, head) rotated by their positions (arXiv 2104.09864).

    The two halves a and b of a head are the pairs: (a cos - b sin, b cos + a sin). The sines of the
    first half come negated, so that b and a are the head rolled by a half. The transpose of this
    rotation, which the backward pass needs, is the rotation with all sines negated.
    """
    cos, sin = (part.unsqueeze(-2) for part in rotary)
    return heads.roll(heads.shape[-1] // 2, -1).mul_(sin).addcmul_(heads, cos)


def head_norm(attention: Any, kind: str) -> Any | None:
    """Return the norm of each query ("q") or key ("k"), which Qwen3 has and others have not."""
    return getattr(attention, f"{kind}_norm", None)


def split_heads(attention: Any, product: Tensor) -> Tensor:
    """Return (rows, heads, head) of a projection (rows, heads * head)."""
    heads: Tensor = product.unflatten(-1, (-1, attention.head_dim))
    return heads


def rotated_heads(attention: Any, kind: str, product: Tensor, rotary: Rotary) -> Tensor:
    """Return queries ("q") or keys ("k") of their projection, (rows, heads, head)."""
    heads, norm = split_heads(attention, product), head_norm(attention, kind)
    return rotate(heads if norm is None else rms_norm(norm, heads), rotary)


def scaled_queries(attention: Any, product: Tensor, context: LayerContext) -> Tensor:
    """Return what attention takes as queries, (batch, width, heads, head)."""
    queries = context.packing.pad(rotated_heads(attention, "q", product, context.rotary))
    return queries.mul_(attention.scaling)


def keys_values_of(
    attention: Any, key_product: Tensor, value_product: Tensor, context: LayerContext
) -> KeysValues:
    """Return what attention takes as keys and values, but for those of a prefix."""
    keys = context.packing.pad(rotated_heads(attention, "k", key_product, context.rotary))
    values = context.packing.pad(split_heads(attention, value_product))
    return keys.transpose(1, 2), values.transpose(1, 2)


def concatenated(prefix: KeysValues, own: KeysValues) -> KeysValues:
    """Return keys and values of the prefix, repeated for each text, and of what follows it."""
    batch = len(own[0])
    return (
        torch.cat([prefix[0].expand(batch, -1, -1, -1), own[0]], dim=2),
        torch.cat([prefix[1].expand(batch, -1, -1, -1), own[1]], dim=2),
    )
