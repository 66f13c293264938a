"""Causal attention on a CPU and its gradient, block by block of queries.

A block of queries reads no key after its own last position, which leaves out half the work of a
masked whole, and its attention weights are computed again in the backward pass: only queries, keys
and values are saved.

In float32 and without gradient, torch's fused kernel is faster. In bfloat16 that kernel reaches a
fifth of the rate of a plain matrix product, so there the blocks go through two such products.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BLOCK = 128  # queries whose attention weights stay in the cache of a core


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
    if queries.dtype == torch.bfloat16:
        return blockwise_attention(queries, keys, values, positions)
    masked = _future_mask(positions, keys.shape[2])
    allowed = ~masked[:, None] if masked.dim() == 3 else ~masked
    output = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys, values, attn_mask=allowed, scale=1.0, enable_gqa=True
    )
    return output.transpose(1, 2).flatten(2)


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
    if positions.dim() == 1 and len(positions) > BLOCK:
        keys, values = keys.contiguous(), values.contiguous()  # once, not in every block
    output = _empty_by_group(queries, keys.shape[1])
    for rows, seen in _blocks(positions):
        weights = _attention_weights(
            queries[:, rows], keys[:, :, seen], positions[..., rows], _first(padding, seen)
        )
        attended = torch.bmm(weights, values[:, :, seen].flatten(0, 1))
        _write_rows(output[:, rows], attended)
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
    key_rows, value_rows = keys.flatten(0, 1), values.flatten(0, 1)
    to_queries = _empty_by_group(queries, keys.shape[1])
    to_keys, to_values = torch.zeros_like(key_rows), torch.zeros_like(value_rows)
    for rows, seen in _blocks(positions):
        weights = _attention_weights(
            queries[:, rows], keys[:, :, seen], positions[rows], _first(padding, seen)
        )
        query_rows = _grouped(queries[:, rows], keys.shape[1])
        output_gradient = _grouped(gradient[:, rows], keys.shape[1])
        to_values[:, seen].baddbmm_(weights.mT, output_gradient)
        to_weights = torch.bmm(output_gradient, value_rows[:, seen].mT)
        to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_keys[:, seen].baddbmm_(to_scores.mT, query_rows)
        _write_rows(to_queries[:, rows], torch.bmm(to_scores, key_rows[:, seen]))
    return to_queries.flatten(2, 3), to_keys.view(keys.shape), to_values.view(values.shape)


def _blocks(positions: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the queries of each block, and the keys up to the last of them."""
    if positions.dim() == 2:
        yield slice(None), slice(None)
        return
    for start in range(0, len(positions), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, slice(int(positions[rows][-1]) + 1)


def _attention_weights(
    queries: Tensor, keys: Tensor, positions: Tensor, padding: Tensor | None
) -> Tensor:
    """Return softmax(Q K^T), (batch * key heads, rows * heads per key head, tokens)."""
    batch, rows = queries.shape[:2]
    key_heads, tokens = keys.shape[1:3]
    scores = torch.bmm(_grouped(queries, key_heads), keys.flatten(0, 1).mT)
    masked = _future_mask(positions, tokens)  # (rows, tokens) or (batch, rows, tokens)
    if padding is not None:
        masked = masked | padding[:, None]
    masked = masked[:, None, :, None] if masked.dim() == 3 else masked[:, None]
    scores.view(batch, key_heads, rows, -1, tokens).masked_fill_(masked, -torch.inf)
    return scores.softmax(dim=-1)


def _grouped(heads: Tensor, key_heads: int) -> Tensor:
    """Return (batch * key heads, rows * heads per key head, head) of (batch, rows, heads, head)."""
    batch, rows, _, width = heads.shape
    by_key_head = heads.reshape(batch, rows, key_heads, -1, width).transpose(1, 2)
    return by_key_head.reshape(batch * key_heads, -1, width)


def _empty_by_group(heads: Tensor, key_heads: int) -> Tensor:
    """Return an empty (batch, rows, key heads, heads per key head, head) for heads like these."""
    batch, rows, count, width = heads.shape
    return torch.empty(batch, rows, key_heads, count // key_heads, width, dtype=heads.dtype)


def _write_rows(out: Tensor, grouped: Tensor) -> None:
    """Copy rows in the layout of `_grouped` to the layout of `_empty_by_group`."""
    batch, rows, key_heads, group, width = out.shape
    out.copy_(grouped.view(batch, key_heads, rows, group, width).transpose(1, 2))


def _future_mask(positions: Tensor, tokens: int) -> Tensor:
    """Return whether each key follows each query, (..., rows, tokens)."""
    return torch.arange(tokens, device=positions.device) > positions[..., None]


def _first(padding: Tensor | None, seen: slice) -> Tensor | None:
    """Return the padding among the keys that a block reads."""
    return None if padding is None else padding[:, seen]
