"""Texts of unequal length, token behind token: what each token goes through alone pads nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Packing:
    """Which rows of a packed tensor, (tokens, ...), are which text's.

    Attributes:
        batch: how many texts there are.
        longest: tokens of the longest.
        positions: of each row in its own text, (tokens,).
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        """Lay texts of some lengths one behind the other."""
        self.batch, self.longest = len(lengths), max(lengths)
        self._even = min(lengths) == self.longest
        steps, counts = torch.arange(self.longest), torch.tensor(lengths)
        real = steps < counts[:, None]
        starts = counts.cumsum(0) - counts
        self.positions = steps.expand(self.batch, -1)[real]
        # padding repeats row 0, so that no number is made up for it
        self._rows = (starts[:, None] + steps).where(real, 0).flatten()
        self._places = real.flatten().nonzero().squeeze(1)

    def spread(self, packed: Tensor) -> Tensor:
        """Return (batch, longest, ...) of (tokens, ...), padded on the right with any numbers."""
        rows = packed if self._even else packed[self._rows]
        return rows.view(self.batch, self.longest, *packed.shape[1:])

    def packed(self, spread: Tensor) -> Tensor:
        """Return (tokens, ...) of (batch, longest, ...), without what stands in the padding."""
        rows = spread.flatten(0, 1)
        return rows if self._even else rows[self._places]
