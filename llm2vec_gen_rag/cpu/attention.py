"""Causal attention on a CPU and its gradient, block by block of queries.

A block of queries reads no key after its own last position, which leaves out half the work of a
masked whole, and its attention weights are computed again in the backward pass: only queries, keys
and values are saved.

In float32 and without gradient, torch's fused kernel is faster. In bfloat16 that kernel reaches a
fifth of the rate of a plain matrix product on some processors, so there it is measured which is the
faster: it, or blocks that go through two such products.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way

BLOCK = 128  # queries whose attention weights stay in the cache of a core
KEYS_AT_ONCE = 2_048  # copied for one query: their memory is used again, that of 8,000 is not


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return softmax(Q K^T) V over the keys up to the position of each query, without gradient.

    Args:
        queries: (batch, rows, heads, head), already scaled.
        keys: (batch, key heads, tokens, head); a group of query heads shares each key head.
        values: as the keys.
        positions: of each query among the keys, ascending: (rows,), or (batch, rows) where the
            texts of the batch differ.

    Returns:
        (batch, rows, heads * head).
    """
    if queries.shape[1] == 1:
        return _attention_of_one(queries, keys, values, positions)
    if queries.dtype == torch.bfloat16 and not FUSED_IN_BFLOAT16.is_faster():
        return blockwise_attention(queries, keys, values, positions)
    return _fused_attention(queries, keys, values, positions)


def _attention_of_one(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return what `causal_attention` returns for one query of each text.

    Products this small take several times as long in bfloat16 as in float32, to which keys and
    values are copied, some at a time.
    """
    batch, _, heads, width = queries.shape
    key_heads, tokens = keys.shape[1:3]
    grouped = queries.reshape(batch * key_heads, -1, width).float()
    parts = keys.flatten(0, 1).split(KEYS_AT_ONCE, dim=1)
    scores = torch.cat([torch.bmm(grouped, part.float().mT) for part in parts], dim=-1)
    if int(positions.min()) < tokens - 1:
        masked = torch.arange(tokens) > positions.reshape(-1, 1, 1, 1)
        scores.view(batch, key_heads, -1, tokens).masked_fill_(masked, -torch.inf)
    weights = scores.softmax(dim=-1).split(KEYS_AT_ONCE, dim=-1)
    pairs = zip(weights, values.flatten(0, 1).split(KEYS_AT_ONCE, dim=1), strict=True)
    attended = reduce(torch.add, (torch.bmm(weight, part.float()) for weight, part in pairs))
    return attended.to(queries.dtype).view(batch, 1, heads * width)


def _fused_attention(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return what `causal_attention` returns, by torch's fused kernel."""
    blocks = [
        _fused_block(
            queries[:, block], keys[:, :, :seen], values[:, :, :seen], positions[..., block]
        )
        for block, seen in _blocks(positions)
    ]
    return (blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)).flatten(2)


def _fused_block(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return the attention of some queries, (batch, rows, heads, head)."""
    allowed = torch.arange(keys.shape[2]) <= positions[..., None]
    output = F.scaled_dot_product_attention(
        queries.transpose(1, 2),
        keys,
        values,
        attn_mask=allowed[:, None] if allowed.dim() == 3 else allowed,
        scale=1.0,
        enable_gqa=True,
    )
    return output.transpose(1, 2)


def blockwise_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    positions: Tensor,
    padding: Tensor | None = None,
) -> Tensor:
    """Return what `causal_attention` returns, in any dtype and with padding among the keys.

    Args:
        queries: see `causal_attention`.
        keys: see `causal_attention`.
        values: see `causal_attention`.
        positions: see `causal_attention`.
        padding: (batch, tokens), True where a key is padding; None if none is.

    Returns:
        (batch, rows, heads * head).
    """
    batch, rows, heads, width = queries.shape
    key_heads, group = keys.shape[1], heads // keys.shape[1]
    # (batch * key heads, rows * group, head) and (batch * key heads, tokens, head)
    grouped = _by_key_head(queries, key_heads)
    keys, values = keys.flatten(0, 1).contiguous(), values.flatten(0, 1).contiguous()
    output = torch.empty(batch, rows, key_heads, group, width, dtype=queries.dtype)
    for block, seen in _blocks(positions):
        asked = slice(block.start * group, block.stop * group)
        masked = _masked(positions[..., block], seen, padding)
        weights = _attention_weights(grouped[:, asked], keys[:, :seen], masked)
        attended = torch.bmm(weights, values[:, :seen])
        output[:, block] = attended.view(batch, key_heads, -1, group, width).transpose(1, 2)
    return output.flatten(2)


def blockwise_attention_backward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    positions: Tensor,
    padding: Tensor | None,
    gradient: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values, given that of `blockwise_attention`.

    With P = softmax(Q K^T) and O = P V: dV = P^T dO, dP = dO V^T, dS = P * (dP - sum(dP P)),
    dQ = dS K, dK = dS^T Q.

    Args:
        queries: see `causal_attention`.
        keys: see `causal_attention`.
        values: see `causal_attention`.
        positions: (rows,), of each query among the keys.
        padding: see `blockwise_attention`.
        gradient: dO, (batch, rows, heads, head).

    Returns:
        dQ, dK and dV, each in the shape of what it is the gradient of.
    """
    batch, rows, heads, width = queries.shape
    key_heads, group = keys.shape[1], heads // keys.shape[1]
    grouped, upstream = _by_key_head(queries, key_heads), _by_key_head(gradient, key_heads)
    flat_keys = keys.flatten(0, 1).contiguous()
    flat_values = values.flatten(0, 1).contiguous()
    to_queries = torch.empty(batch, rows, key_heads, group, width, dtype=queries.dtype)
    to_keys, to_values = torch.zeros_like(flat_keys), torch.zeros_like(flat_values)
    for block, seen in _blocks(positions):
        asked = slice(block.start * group, block.stop * group)
        masked = _masked(positions[block], seen, padding)
        weights = _attention_weights(grouped[:, asked], flat_keys[:, :seen], masked)
        to_values[:, :seen].baddbmm_(weights.mT, upstream[:, asked])
        to_weights = torch.bmm(upstream[:, asked], flat_values[:, :seen].mT)
        to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_keys[:, :seen].baddbmm_(to_scores.mT, grouped[:, asked])
        to_asked = torch.bmm(to_scores, flat_keys[:, :seen])
        to_queries[:, block] = to_asked.view(batch, key_heads, -1, group, width).transpose(1, 2)
    return to_queries.flatten(2, 3), to_keys.view(keys.shape), to_values.view(values.shape)


def _blocks(positions: Tensor) -> Iterator[tuple[slice, int]]:
    """Yield the queries of each block, and how many keys the last of them reads."""
    rows = positions.shape[-1]
    size = BLOCK if positions.dim() == 1 else rows  # where texts differ, the queries are few
    for start in range(0, rows, size):
        block = slice(start, min(start + size, rows))
        yield block, int(positions[..., block.stop - 1].max()) + 1


def _by_key_head(heads: Tensor, key_heads: int) -> Tensor:
    """Return (batch * key heads, rows * heads per key head, head) of (batch, rows, heads, head)."""
    batch, rows, _, width = heads.shape
    grouped = heads.reshape(batch, rows, key_heads, -1, width).transpose(1, 2)
    return grouped.reshape(batch * key_heads, -1, width)


def _masked(positions: Tensor, seen: int, padding: Tensor | None) -> Tensor:
    """Return which of the first keys a query must not attend to, (batch or 1, rows, keys)."""
    masked = torch.arange(seen) > positions[..., None]
    masked = masked if masked.dim() == 3 else masked[None]
    return masked if padding is None else masked | padding[:, None, :seen]


def _attention_weights(queries: Tensor, keys: Tensor, masked: Tensor) -> Tensor:
    """Return softmax(Q K^T) of the keys that are not masked, (groups, queries, keys)."""
    scores = torch.bmm(queries, keys.mT)
    batch, rows, seen = masked.shape
    by_row = scores.view(batch, -1, rows, queries.shape[1] // rows, seen)
    # a sum takes a third of the time of filling, as it reads the scores in order
    excluded = torch.zeros(masked.shape, dtype=scores.dtype).masked_fill_(masked, -torch.inf)
    by_row.add_(excluded[:, None, :, None])
    return scores.softmax(dim=-1)


def _both() -> tuple[Way, Way]:
    """Return both ways for two texts of 192 tokens, of eight heads on four key heads of 64."""
    queries, keys = (torch.ones(2, *size, 64).bfloat16() for size in ((192, 8), (4, 192)))
    inputs = queries, keys, keys, torch.arange(192)
    return partial(_fused_attention, *inputs), partial(blockwise_attention, *inputs)


FUSED_IN_BFLOAT16 = FasterWay("attention in bfloat16 by torch's fused kernel", _both)
