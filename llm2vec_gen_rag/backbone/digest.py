"""Hashes of weights: a sample of an LLM's values, or every value of a few tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from torch import Tensor, nn


def weights_digest(model: nn.Module) -> str:
    """Return a hash of some values of every weight: one pass over 8 GB would take a minute."""
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        values = weight.detach().flatten()
        sample = values[:: max(1, values.numel() // 256)].float().cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def tensors_digest(settings: Iterable[str], tensors: Iterable[Tensor]) -> str:
    """Return a hash of settings, then of the shape and every value of tensors, in their order."""
    digest = hashlib.sha256("".join(settings).encode())
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
