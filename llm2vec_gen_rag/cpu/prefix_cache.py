"""The tokens that texts begin with, most often an instruction: the LLM reads them once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from llm2vec_gen_rag.cpu.forward import Prefix, read_prefix
from llm2vec_gen_rag.text_tokenizer import TokenIds

# tokens that have to be spared, for a prefix to be worth a forward of its own
WORTH_A_FORWARD = 64
# tokens of an instruction worth keeping from one call to the next
WORTH_KEEPING = 4
# instructions kept, which is more than a checkpoint has tasks in use
MOST_KEPT = 8


class KnownPrefixes:
    """What a frozen LLM keeps of the instructions that it met last.

    A query that comes alone has nothing in common with others but its instruction, and that comes
    with every query.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: dict[tuple[bytes, torch.dtype], Prefix] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def of(self, backbone: PreTrainedModel, ids: TokenIds) -> Prefix:
        """Return what the LLM keeps of these ids, computed if it is not known."""
        key = (ids.tobytes(), backbone.dtype)
        prefix = self._kept.pop(key, None)
        if prefix is None:
            prefix = read_prefix(backbone, torch.from_numpy(ids[None]))
        self._kept[key] = prefix  # behind those that were not asked for since
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return prefix


def shared_prefix(
    backbone: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    instruction: TokenIds,
    known: KnownPrefixes | None,
) -> Prefix | None:
    """Return what the LLM keeps of the tokens that all texts begin with.

    Args:
        backbone: an LLM that `runs_in_parts`.
        token_ids: of each text, behind its instruction.
        instruction: ids of the instruction alone; where it meets a text, the last may differ.
        known: what was computed before and is kept; None where the LLM's states can change.

    Returns:
        None if too few tokens are shared.
    """
    if not token_ids:
        return None
    shared = common_length(token_ids)
    instructed = common_length([instruction, token_ids[0][:shared]])
    others = len(token_ids) - 1
    beyond = shared - (instructed if known is not None else 0)
    if beyond * others >= WORTH_A_FORWARD:
        return read_prefix(backbone, torch.from_numpy(token_ids[0][None, :shared]))
    if known is None or instructed < WORTH_KEEPING:
        return None
    return known.of(backbone, instruction).first(instructed)


def common_length(token_ids: Sequence[TokenIds]) -> int:
    """Return how many ids all rows begin with."""
    if not token_ids:
        return 0
    first = token_ids[0]
    for row in token_ids:
        first = first[: len(row)]
        first = first[: np.argmin(np.append(first == row[: len(first)], False))]
    return len(first)
