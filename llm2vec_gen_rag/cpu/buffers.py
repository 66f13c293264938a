"""Reuse, from one training step to the next, the buffers in which layers save activations.

Separate tensors, allocated among short-lived ones, would leave holes that nothing fits into; and
the system hands out fresh memory page by page, which takes time in every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# The buffers of a model that are free. The first forward of a step is the last to run backward, so
# its buffer is the last to be released and the first to be acquired again.
_FREE: WeakKeyDictionary[nn.Module, list[Tensor]] = WeakKeyDictionary()


@contextmanager
def reuse_buffers(model: nn.Module) -> Iterator[None]:
    """Reuse the buffers of a model's steps inside the block; they are freed at its end."""
    _FREE[model] = []
    try:
        yield
    finally:
        _FREE.pop(model, None)


def acquire(model: nn.Module, size: int) -> Tensor:
    """Return a buffer of at least as many bytes, with arbitrary content, (bytes,) uint8."""
    if free := _FREE.get(model):
        buffer = free.pop()
        if len(buffer) >= size:
            return buffer
        del buffer  # freed before a larger one is allocated
    return torch.empty(size, dtype=torch.uint8)


def release(model: nn.Module, buffer: Tensor) -> None:
    """Let the next step reuse a buffer, inside `reuse_buffers`.

    Releasing the same buffer twice is a no-op, because backward may run more than once
    (`retain_graph=True`).
    """
    free = _FREE.get(model)
    if free is not None and all(other.data_ptr() != buffer.data_ptr() for other in free):
        free.append(buffer)
