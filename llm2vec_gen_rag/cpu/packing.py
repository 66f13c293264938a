"""Pack texts of different lengths into one tensor without padding.

Token-wise layers run on the packed rows; only attention pads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# from this many tokens on, sizes are rounded up
ROUND_FROM_TOKENS = 256
# padded texts come in multiples of this width
WIDTH_STEP = 8


class Packing:
    """Which rows of a packed tensor, (rows, ...), belong to which text.

    Attributes:
        batch: the number of texts.
        width: of a padded text.
        rows: the number of rows: all tokens, and some spare rows after them.
        positions: of each row in its own text, (rows,).
    """

    def __init__(
        self, lengths: Sequence[int], *, rows: int | None = None, width: int | None = None
    ) -> None:
        """Concatenate texts.

        Args:
            lengths: tokens of each text.
            rows: the number of rows, spare ones included; by default none is spare.
            width: of a padded text, by default the longest.
        """
        self.batch, self.rows = len(lengths), sum(lengths) if rows is None else rows
        self.width = max(lengths) if width is None else width
        steps, counts = torch.arange(self.width), torch.tensor(lengths)
        real = steps < counts[:, None]
        spare = self.rows - sum(lengths)
        # the spare rows after a single text are its padding
        self._is_rectangular = self.rows == real.numel() and (self.batch == 1 or bool(real.all()))
        self.positions = F.pad(steps.expand(self.batch, -1)[real], (0, spare))
        # padding and spare rows repeat the first row, so that no number is made up for them
        starts = counts.cumsum(0) - counts
        self._padded_from = (starts[:, None] + steps).where(real, 0).flatten()
        self._packed_from = F.pad(real.flatten().nonzero().squeeze(1), (0, spare))

    def pad(self, packed: Tensor) -> Tensor:
        """Return (batch, width, ...) of (rows, ...), padded on the right with any numbers."""
        rows = packed if self._is_rectangular else _gather_rows(packed, self._padded_from)
        return rows.view(self.batch, self.width, *packed.shape[1:])

    def unpad(self, padded: Tensor) -> Tensor:
        """Return (rows, ...) of (batch, width, ...), without the padding."""
        rows = padded.flatten(0, 1)
        return rows if self._is_rectangular else _gather_rows(rows, self._packed_from)


def packing_of_few_sizes(lengths: Sequence[int]) -> Packing:
    """Return a packing with a few spare rows, so that few different sizes come up.

    oneDNN compiles code for every size of a product and keeps it, about 0.4 MiB for each. Rows are
    rounded up by at most a thirty-second. Few rows, as of a single query, are not rounded.
    """
    tokens = sum(lengths)
    if tokens < ROUND_FROM_TOKENS:
        return Packing(lengths)
    rows = rounded_up(tokens, 1 << ((tokens // 32).bit_length() - 1))
    width = rows if len(lengths) == 1 else rounded_up(max(lengths), WIDTH_STEP)
    return Packing(lengths, rows=rows, width=width)


def rounded_up(count: int, step: int) -> int:
    """Return the next multiple of a step."""
    return -(-count // step) * step


def _gather_rows(rows: Tensor, indices: Tensor) -> Tensor:
    """Return some rows, each copied whole: on a CPU six times as fast as `rows[indices]`."""
    return rows.index_select(0, indices.to(rows.device))
