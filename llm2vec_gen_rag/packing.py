"""Texts of unequal length, token behind token: what each token goes through alone pads nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# many rows are rounded up to a multiple: oneDNN makes code for every number of rows, and keeps it
MULTIPLE = 16
MANY = 256


class Packing:
    """Which rows of a packed tensor, (rows, ...), are which text's.

    Attributes:
        batch: how many texts there are.
        longest: tokens of the longest.
        rows: how many there are, tokens and some spare ones behind them.
        positions: of each row in its own text, (rows,).
    """

    def __init__(self, lengths: Sequence[int], *, spare: int = 0) -> None:
        """Lay texts of some lengths one behind the other, and some spare rows behind them."""
        self.batch, self.longest = len(lengths), max(lengths)
        self.rows = sum(lengths) + spare
        self._even = min(lengths) == self.longest and not spare
        steps, counts = torch.arange(self.longest), torch.tensor(lengths)
        real = steps < counts[:, None]
        starts = counts.cumsum(0) - counts
        self.positions = F.pad(steps.expand(self.batch, -1)[real], (0, spare))
        # padding and spare rows repeat the first, so that no number is made up for them
        self._rows = (starts[:, None] + steps).where(real, 0).flatten()
        self._places = F.pad(real.flatten().nonzero().squeeze(1), (0, spare))

    def spread(self, packed: Tensor) -> Tensor:
        """Return (batch, longest, ...) of (rows, ...), padded on the right with any numbers."""
        rows = packed if self._even else packed[self._rows]
        return rows.view(self.batch, self.longest, *packed.shape[1:])

    def packed(self, spread: Tensor) -> Tensor:
        """Return (rows, ...) of (batch, longest, ...), without what stands in the padding."""
        rows = spread.flatten(0, 1)
        return rows if self._even else rows[self._places]


def spare_rows(tokens: int) -> int:
    """Return how many rows to add to some tokens, so that few numbers of rows come up."""
    return -tokens % MULTIPLE if tokens >= MANY else 0
