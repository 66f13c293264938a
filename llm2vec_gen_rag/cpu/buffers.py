"""One piece of memory for all that a pass keeps for its way back, used by step after step.

In pieces, among what is soon given up, it would leave holes that nothing fits into; and the system
hands out fresh memory page by page, which takes time in every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# by model, what the passes of its last step used; the first pass of a step goes back last, so its
# piece is the last to be left, and the first to be taken
_SPARE: WeakKeyDictionary[nn.Module, list[Tensor]] = WeakKeyDictionary()


@contextmanager
def memory_for_steps(model: nn.Module) -> Iterator[None]:
    """Return a block inside which a step of the model leaves its memory to the next one."""
    _SPARE[model] = []
    try:
        yield
    finally:
        _SPARE.pop(model, None)


def take(model: nn.Module, size: int) -> Tensor:
    """Return as many bytes or more, whatever they hold."""
    if spare := _SPARE.get(model):
        memory = spare.pop()
        if len(memory) >= size:
            return memory
        del memory  # before there is a larger one
    return torch.empty(size, dtype=torch.uint8)


def leave(model: nn.Module, memory: Tensor) -> None:
    """Leave what was taken to the next step, inside `memory_for_steps`.

    Left again it is not there twice: a way back can be gone more than once.
    """
    spare = _SPARE.get(model)
    if spare is not None and all(piece.data_ptr() != memory.data_ptr() for piece in spare):
        spare.append(memory)
