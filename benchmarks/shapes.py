"""The shapes that are measured, and the arithmetic that an embedding costs at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a causal LM and of the response tokens on it.

    Attributes:
        documents: how many texts one timed call embeds.
        queries: likewise.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    response_tokens: int
    documents: int
    queries: int

    @property
    def key_value_weights(self) -> int:
        """Weights of one layer that make keys and values."""
        return 2 * self.hidden * self.key_heads * self.head

    @property
    def layer_weights(self) -> int:
        """Weights in the matrices of one layer."""
        queries_and_output = 2 * self.hidden * self.heads * self.head
        return queries_and_output + self.key_value_weights + 3 * self.hidden * self.intermediate


SHAPES = {
    "almanac": Shape("almanac", 6, 256, 640, 4, 2, 64, 4_096, 8, documents=200, queries=300),
    "12x512": Shape("12x512", 12, 512, 1_536, 8, 4, 64, 32_000, 10, documents=64, queries=128),
    "0.6b": Shape("0.6b", 28, 1_024, 3_072, 16, 8, 128, 32_000, 10, documents=12, queries=64),
}


def needed_flops(shape: Shape, lengths: Sequence[int], prefix: int) -> int:
    """Return the floating-point operations that embeddings need, a multiply-add counted as two.

    No padding is counted, no token that all texts begin with, no key that a causal LM does not look
    at, and in the last layer, beside keys and values, no state but those of the response tokens:
    what an implementation computes beyond that lowers its rate.

    Args:
        shape: of the LM.
        lengths: tokens of each text, prefix and response tokens included.
        prefix: how many tokens all texts begin with.
    """
    read = shape.response_tokens
    flops = 0
    for length in lengths:
        tokens = length - prefix
        body = 2 * shape.layer_weights * tokens + _attention(shape, prefix, length)
        last = 2 * shape.key_value_weights * tokens
        last += 2 * (shape.layer_weights - shape.key_value_weights) * read
        last += _attention(shape, length - read, length)
        flops += (shape.layers - 1) * body + last
    return flops


def _attention(shape: Shape, start: int, end: int) -> int:
    """Operations of the two products of attention, for the queries from `start` to `end`."""
    seen = (end * (end + 1) - start * (start + 1)) // 2
    return 4 * shape.heads * shape.head * seen
