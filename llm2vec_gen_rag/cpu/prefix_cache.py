"""The tokens that texts begin with, most often an instruction: the LLM reads them once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from llm2vec_gen_rag.cpu.forward import Forward, Prefix

TokenIds = npt.NDArray[np.int64]

# tokens that a prefix must save, to be worth a forward of its own
MIN_TOKENS_SAVED = 64
# tokens of an instruction worth keeping from one call to the next
MIN_INSTRUCTION_TOKENS = 4
# instructions kept: more than a checkpoint has tasks in use
MAX_INSTRUCTIONS = 8


class PrefixCache:
    """The KV caches of the instructions that a frozen LLM read last.

    A query alone shares nothing with other texts but its instruction, which every query has.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._prefixes: dict[tuple[bytes, torch.dtype], Prefix] = {}

    def __len__(self) -> int:
        """Return how many instructions are kept."""
        return len(self._prefixes)

    def read(self, forward: Forward, ids: TokenIds) -> Prefix:
        """Return the KV cache of these ids, computed if it is not kept."""
        key = (ids.tobytes(), forward.dtype)
        prefix = self._prefixes.pop(key, None)
        if prefix is None:
            prefix = forward.read_prefix(torch.from_numpy(ids[None]))
        self._prefixes[key] = prefix  # last, so that the least recently used is first
        if len(self._prefixes) > MAX_INSTRUCTIONS:
            del self._prefixes[next(iter(self._prefixes))]
        return prefix


def shared_prefix(
    forward: Forward,
    rows: Sequence[TokenIds],
    instruction_tokens: int,
    cache: PrefixCache | None,
) -> Prefix | None:
    """Return the KV cache of the tokens that all texts begin with.

    Args:
        forward: the LLM's layers.
        rows: ids of each text, after its instruction; at least one.
        instruction_tokens: how many ids of the first row are of the instruction.
        cache: keeps the KV cache of the instruction; None where the LLM's states can change.

    Returns:
        The KV cache; None if too few tokens are shared.
    """
    shared = common_length(rows)
    instructed = min(instruction_tokens, shared)
    not_cached = shared - (instructed if cache is not None else 0)
    if not_cached * (len(rows) - 1) >= MIN_TOKENS_SAVED:
        return forward.read_prefix(torch.from_numpy(rows[0][None, :shared]))
    if cache is None or instructed < MIN_INSTRUCTION_TOKENS:
        return None
    return cache.read(forward, rows[0][:instructed])


def common_length(rows: Sequence[TokenIds]) -> int:
    """Return how many ids all rows begin with."""
    if not rows:
        return 0
    first = rows[0]
    for row in rows:
        first = first[: len(row)]
        first = first[: np.argmin(np.append(first == row[: len(first)], False))]
    return len(first)
