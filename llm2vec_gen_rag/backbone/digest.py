"""Hashes of weights: a sample of an LLM's values, sums over all of them, or a few tensors whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

_COLUMNS = 1024  # sums a tensor, of 8 bytes each
_BLOCK = 1 << 18  # values read at once: a block stays in a processor's cache
_READ_EXACTLY = {torch.float32, torch.bfloat16, torch.float16, torch.int8}


def weights_digest(model: nn.Module) -> str:
    """Return a hash of some values of every weight: one pass over 8 GB would take a minute."""
    digest = hashlib.sha256()
    for name, weight in _stored(model):
        values = weight.detach().flatten()
        sample = values[:: max(1, values.numel() // 256)].float().cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def weight_dtypes(model: nn.Module) -> str:
    """Return the dtypes of a model's weights, such as "bfloat16" or "bfloat16 and int8"."""
    dtypes = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters()}
    return " and ".join(sorted(dtypes))


def weight_checksums(model: nn.Module) -> dict[str, str]:
    """Return checksums of every bit of a model's weights, by the dtype in which they were read.

    Buffers that are saved with the weights count, such as the biases by which mixtures of experts
    choose. A bfloat16 model may keep them in float32; they are read in bfloat16 all the same.

    Two models whose checksums agree in each dtype that both have are the same up to that dtype. A
    float32 model has one in bfloat16 too: a model of the same file in bfloat16 has the same.

    It reads 1 GB in a fraction of a second, where a cryptographic hash takes some. It is against
    accidents: whoever wants to can change weights and keep the sums.

    Args:
        model: the LLM.

    Returns:
        Hashes by `weight_dtypes`; none of weights that are not in memory, or packed by another
        library.
    """
    dtypes = {weight.dtype for weight in model.parameters()}
    if dtypes - _READ_EXACTLY or any(tensor.is_meta for _, tensor in _stored(model)):
        return {}
    read = torch.bfloat16 if dtypes == {torch.bfloat16} else None
    checksums = {weight_dtypes(model): _checksum(model, read)}
    if dtypes == {torch.float32}:
        checksums["bfloat16"] = _checksum(model, torch.bfloat16)
    return checksums


def tensors_digest(settings: Iterable[str], tensors: Iterable[Tensor]) -> str:
    """Return a hash of settings, then of the shape and every value of tensors, in their order."""
    digest = hashlib.sha256("".join(settings).encode())
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _stored(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield name and value of each parameter, and of each buffer that is saved with them."""
    yield from model.named_parameters()
    saved = model.state_dict(keep_vars=True)
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in saved)


def _checksum(model: nn.Module, dtype: torch.dtype | None) -> str:
    """Return a hash of every weight's name, shape and sums, read in a dtype or in its own."""
    digest = hashlib.sha256()
    for name, weight in _stored(model):
        read = dtype if dtype is not None and weight.is_floating_point() else weight.dtype
        sums = _column_sums(weight.detach().flatten(), read).cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + sums.numpy().tobytes())
    return digest.hexdigest()


def _column_sums(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return sums of the values' bits as 64-bit integers, modulo 2^64: (columns,).

    One flipped bit changes one sum; two hide each other only if they are the same bit of the same
    column, one raised and one cleared.
    """
    sums = torch.zeros(_COLUMNS, dtype=torch.int64, device=values.device)
    block = torch.zeros(_BLOCK, dtype=dtype, device=values.device)
    for part in values.split(_BLOCK):
        block[: len(part)].copy_(part)
        block[len(part) :].zero_()
        sums += block.view(torch.int64).view(-1, _COLUMNS).sum(0)
    return sums
