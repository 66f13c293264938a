"""The device that the frozen LLM runs on, and the dtype that it computes in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from llm2vec_gen_rag.errors import BaseModelError

# strategies of accelerate, each for a whole LLM
_STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or for None the best available: CUDA, else MPS, else CPU.

    In a process that a launcher such as `accelerate launch` started, "cuda" without a number is the
    GPU of that process.

    Args:
        device: such as "cpu", "cuda", "cuda:0" or "mps", or None.

    Returns:
        A device that this machine has.

    Raises:
        ValueError: if this machine does not have the device.
    """
    if device is None:
        device = next((name for name in ("cuda", "mps") if _exists(name)), "cpu")
    if str(device) == "cuda" and (local_rank := os.environ.get("LOCAL_RANK")) is not None:
        device = f"cuda:{local_rank}"
    try:
        picked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a device; expected one such as 'cpu', 'cuda', 'cuda:0' or "
            "'mps', or None for the best available"
        ) from error
    if not _exists(picked.type, picked.index):
        raise ValueError(
            f"device={device!r} is not available here; pass device='cpu', or None for the best "
            "available"
        )
    return picked


def require_devices(device_map: str | Mapping[str, Any] | None) -> None:
    """Raise an error unless this machine has every device of a device map.

    Args:
        device_map: a device, a strategy of accelerate such as "auto", or a device by layer.

    Raises:
        BaseModelError: with the first device that it does not have.
    """
    if isinstance(device_map, Mapping):
        places: list[Any] = list(device_map.values())
        beside: tuple[str | None, ...] = ("disk",)
    else:
        places, beside = [device_map], (None, *_STRATEGIES)
    for place in places:
        if place in beside:
            continue
        try:
            device = torch.device(place)
            exists = _exists(device.type, device.index)
        except (RuntimeError, TypeError):
            exists = False
        if not exists:
            raise BaseModelError(
                f"device_map puts layers on {place!r}, which is not available here; expected "
                "devices of this machine, or for some layers 'disk'. Pass device_map='auto', or "
                "leave it out."
            )


def _exists(kind: str, index: int | None = None) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available() and (index or 0) < torch.cuda.device_count()
    if kind == "mps":
        return torch.backends.mps.is_available()
    return kind == "cpu" or (hasattr(torch, kind) and getattr(torch, kind).is_available())


def pick_dtype(
    dtype: str | torch.dtype | None, device: torch.device, stated: torch.dtype | None
) -> torch.dtype | None:
    """Return the dtype to compute in.

    Args:
        dtype: the one asked for. None picks what the checkpoint states on an accelerator; on a CPU,
            bfloat16 if it multiplies that natively, else float32. int8 is for `load_backbone`: the
            layers multiply in 8 bits, and the rest computes in what None picks.
        device: where the LLM runs.
        stated: what the checkpoint states; None leaves it to the base model's own config.

    Returns:
        A dtype for `load_backbone`; None means that of the base model's own config.

    Raises:
        ValueError: if the dtype is not one of float32, bfloat16, float16 and int8, or is int8 on a
            device other than a CPU.
    """
    if _is_int8(dtype):
        if device.type != "cpu":
            raise ValueError(
                f"dtype='int8' was asked for on {device}; expected a CPU. Pass device='cpu', or a "
                "quantization_config instead of the dtype."
            )
        return torch.int8
    if dtype is not None:
        return parse_dtype(dtype)
    if device.type != "cpu":
        return stated
    return cpu_dtype()


def _is_int8(dtype: object) -> bool:
    return str(dtype).removeprefix("torch.") == "int8"


def cpu_dtype() -> torch.dtype:
    """Return the floating-point dtype in which this CPU embeds fastest."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def parse_dtype(dtype: object) -> torch.dtype:
    """Return the floating-point dtype of that name.

    Args:
        dtype: such as "bfloat16", "torch.bfloat16" or `torch.bfloat16`.

    Returns:
        float32, bfloat16 or float16.

    Raises:
        ValueError: if it names any other dtype.
    """
    parsed = DTYPES.get(str(dtype).removeprefix("torch."))
    if parsed is None:
        raise ValueError(
            f"dtype={dtype!r} is not supported; expected one of {', '.join(DTYPES)}, for embedding "
            "on a CPU int8, or None for the best of the device"
        )
    return parsed


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices natively (AVX512-BF16 or AMX).

    oneDNN multiplies them. It may be missing from torch, or kept to older instructions by
    `ONEDNN_MAX_CPU_ISA`.
    """
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if not has or not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
