"""Batches of neighbours in length: what every peer that pads is best given."""

from __future__ import annotations

from collections.abc import Sequence


def sorted_batches(rows: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Return the indices of each batch of token ids, sorted by length over the whole list."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    return [order[start : start + size] for start in range(0, len(order), size)]
