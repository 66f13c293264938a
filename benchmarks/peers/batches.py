"""What an engine that embeds token ids is asked: batches of neighbours in length, and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.workers import Requests, timed


class TokenRequests(Requests):
    """Requests of an engine that reads token ids; it says how it embeds one batch."""

    @timed
    def encode(self, rows: list[list[int]], batch_size: int) -> None:
        """Embed token ids in batches sorted by length."""
        for batch in sorted_batches(rows, batch_size):
            self.embed([rows[row] for row in batch])

    def vectors(self, rows: list[list[int]]) -> list[list[float]]:
        """Return embeddings, normalised, all in one batch."""
        embedded = self.embed(rows)
        lengths = np.linalg.norm(embedded, axis=1, keepdims=True)
        scaled: list[list[float]] = (embedded / lengths).tolist()
        return scaled

    def embed(self, rows: list[list[int]]) -> np.ndarray:
        """Return the embeddings of one batch of token ids, (rows, dimension), not normalised."""
        raise NotImplementedError


def sorted_batches(rows: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Return the indices of each batch of token ids, sorted by length over the whole list."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    return [order[start : start + size] for start in range(0, len(order), size)]
