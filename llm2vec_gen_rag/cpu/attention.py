"""Attention of the last rows of a sequence to all before them, on a CPU and without padding masks.

torch's fused kernel is the fastest there is on a CPU in float32. In bfloat16 it reaches a fifth of
the rate of a plain matrix product, so there the rows go block by block through two such products:
a block sees only the keys up to its own end, which leaves out half of the work of a masked whole.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BLOCK = 128  # rows whose scores stay in the cache of a core


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return what each query reads from the values at its own position and before.

    Args:
        queries: (batch, rows, heads, head), scaled already.
        keys: (batch, key heads, tokens, head); a group of heads shares each key head.
        values: as the keys.
        positions: of each query among the keys, ascending; (rows,), or (batch, rows) where the rows
            of the batch differ.

    Returns:
        (batch, rows, heads * head).
    """
    if queries.dtype != torch.bfloat16:
        hidden = _behind(positions, keys.shape[2])
        mask = ~hidden[:, None] if hidden.dim() == 3 else ~hidden
        read = F.scaled_dot_product_attention(
            queries.transpose(1, 2), keys, values, attn_mask=mask, scale=1.0, enable_gqa=True
        )
        return read.transpose(1, 2).flatten(2)
    if positions.dim() == 2 or queries.shape[1] <= BLOCK:
        return _block(queries, keys, values, positions)
    keys, values = keys.contiguous(), values.contiguous()  # once, and not block by block
    read = torch.empty_like(queries).flatten(2)
    for start in range(0, queries.shape[1], BLOCK):
        rows = slice(start, start + BLOCK)
        seen = slice(int(positions[rows][-1]) + 1)
        read[:, rows] = _block(
            queries[:, rows], keys[:, :, seen], values[:, :, seen], positions[rows]
        )
    return read


def _block(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """Return `causal_attention` of rows that go together through two matrix products."""
    batch, rows, _, width = queries.shape
    groups, tokens = keys.shape[1:3]
    grouped = queries.reshape(batch, rows, groups, -1, width).transpose(1, 2)
    scores = torch.bmm(grouped.reshape(batch * groups, -1, width), keys.flatten(0, 1).mT)
    hidden = _behind(positions, tokens)
    hidden = hidden[:, None, :, None] if hidden.dim() == 3 else hidden[:, None]
    scores.view(batch, groups, rows, -1, tokens).masked_fill_(hidden, -torch.inf)
    read = torch.bmm(scores.softmax(dim=-1), values.flatten(0, 1))
    return read.view(batch, groups, rows, -1, width).transpose(1, 2).reshape(batch, rows, -1)


def _behind(positions: Tensor, tokens: int) -> Tensor:
    """Return whether each key comes after each query, (..., rows, tokens)."""
    return torch.arange(tokens, device=positions.device) > positions[..., None]
