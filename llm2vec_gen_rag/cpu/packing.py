"""Texts of unequal length, token behind token: what each token goes through alone pads nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# from this many tokens on, sizes are rounded up
MANY = 256
# texts that are padded come in multiples of this width
WIDTH_STEP = 8


class Packing:
    """Which rows of a packed tensor, (rows, ...), are which text's.

    Attributes:
        batch: how many texts there are.
        width: of a text that is padded.
        rows: how many there are, tokens and some spare ones behind them.
        positions: of each row in its own text, (rows,).
    """

    def __init__(
        self, lengths: Sequence[int], *, rows: int | None = None, width: int | None = None
    ) -> None:
        """Lay texts one behind the other.

        Args:
            lengths: tokens of each text.
            rows: how many there are, spare ones included; by default none is spare.
            width: of a text that is padded, by default the longest.
        """
        self.batch, self.rows = len(lengths), sum(lengths) if rows is None else rows
        self.width = max(lengths) if width is None else width
        steps, counts = torch.arange(self.width), torch.tensor(lengths)
        real = steps < counts[:, None]
        spare = self.rows - sum(lengths)
        # spare rows behind one text alone are its padding
        self._even = self.rows == real.numel() and (self.batch == 1 or bool(real.all()))
        self.positions = F.pad(steps.expand(self.batch, -1)[real], (0, spare))
        # padding and spare rows repeat the first, so that no number is made up for them
        starts = counts.cumsum(0) - counts
        self._rows = (starts[:, None] + steps).where(real, 0).flatten()
        self._places = F.pad(real.flatten().nonzero().squeeze(1), (0, spare))

    def spread(self, packed: Tensor) -> Tensor:
        """Return (batch, width, ...) of (rows, ...), padded on the right with any numbers."""
        rows = packed if self._even else _taken(packed, self._rows)
        return rows.view(self.batch, self.width, *packed.shape[1:])

    def packed(self, spread: Tensor) -> Tensor:
        """Return (rows, ...) of (batch, width, ...), without what stands in the padding."""
        rows = spread.flatten(0, 1)
        return rows if self._even else _taken(rows, self._places)


def packing_of_few_sizes(lengths: Sequence[int]) -> Packing:
    """Lay texts one behind the other so that few sizes come up, some rows being spare.

    oneDNN makes code for every size of a product and keeps it, about 0.4 MiB for each. Rows are
    rounded up by at most a thirty-second, and not where they are few, which is a query alone.
    """
    tokens = sum(lengths)
    if tokens < MANY:
        return Packing(lengths)
    rows = rounded_up(tokens, 1 << ((tokens // 32).bit_length() - 1))
    width = rows if len(lengths) == 1 else rounded_up(max(lengths), WIDTH_STEP)
    return Packing(lengths, rows=rows, width=width)


def rounded_up(count: int, step: int) -> int:
    """Return the next multiple of a step."""
    return -(-count // step) * step


def _taken(rows: Tensor, which: Tensor) -> Tensor:
    """Return some rows, copied whole: on a CPU six times as fast as `rows[which]`."""
    return rows.index_select(0, which.to(rows.device))
