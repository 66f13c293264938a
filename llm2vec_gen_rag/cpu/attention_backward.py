"""Causal attention and its gradient on a CPU, block by block.

The queries are those of the last keys. A block of them looks at no key behind its own end, and its
shares are computed again on the way back: what is kept is queries, keys and values alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128  # queries of attention that go together


def attended(queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
    """Return O = P V with P = softmax(Q K^T), of the keys that are not hidden.

    Args:
        queries: (groups, heads, tokens, head), scaled already; a group shares a key head.
        keys: (groups, before + tokens, head).
        values: as the keys.
        hidden: (batch or 1, tokens, before + tokens), whether a key is hidden from a query; those
            behind its own position are.

    Returns:
        (groups, heads, tokens, head).
    """
    read = torch.empty_like(queries)
    for rows, seen in _blocks(hidden):
        shares = _shares(queries[:, :, rows].flatten(1, 2), keys[:, seen], hidden[:, rows, seen])
        read[:, :, rows] = torch.bmm(shares, values[:, seen]).view_as(read[:, :, rows])
    return read


def attention_gradients(
    queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values, given that of what `attended` returns.

    dV = P^T dO, dS = P * (dP - sum(dP P)) with dP = dO V^T, dQ = dS K, dK = dS^T Q.
    """
    to_queries = torch.empty_like(queries)
    to_keys, to_values = torch.zeros_like(keys), torch.zeros_like(values)
    for rows, seen in _blocks(hidden):
        asked, given = (part[:, :, rows].flatten(1, 2) for part in (queries, gradient))
        shares = _shares(asked, keys[:, seen], hidden[:, rows, seen])
        to_values[:, seen].baddbmm_(shares.mT, given)
        to_shares = torch.bmm(given, values[:, seen].mT)
        to_scores = torch.ops.aten._softmax_backward_data(to_shares, shares, -1, shares.dtype)
        to_keys[:, seen].baddbmm_(to_scores.mT, asked)
        to_queries[:, :, rows] = torch.bmm(to_scores, keys[:, seen]).view_as(queries[:, :, rows])
    return to_queries, to_keys, to_values


def _blocks(hidden: Tensor) -> list[tuple[slice, slice]]:
    """Return the queries of each block, and the keys that they look at."""
    tokens, before = hidden.shape[1], hidden.shape[2] - hidden.shape[1]
    starts = range(0, tokens, BLOCK)
    ends = [min(start + BLOCK, tokens) for start in starts]
    return [
        (slice(start, end), slice(before + end)) for start, end in zip(starts, ends, strict=True)
    ]


def _shares(queries: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
    """Return how much each query reads of each value, (groups, heads * rows, keys)."""
    scores = torch.bmm(queries, keys.mT)
    scores.view(len(hidden), -1, *hidden.shape[1:]).masked_fill_(hidden[:, None], -torch.inf)
    return scores.softmax(dim=-1)
