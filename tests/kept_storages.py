"""What autograd saves for the backward pass."""

from __future__ import annotations

from contextlib import contextmanager

import torch


@contextmanager
def kept_storages():
    """Yield the bytes of each storage that forwards in the block save, by its address."""
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield sizes
