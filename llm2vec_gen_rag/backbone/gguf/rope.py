"""How the rotary frequencies of the LLM in a GGUF file are scaled for long texts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from llm2vec_gen_rag.backbone.gguf.dequantise import dequantised
from llm2vec_gen_rag.backbone.gguf.file import GGUFFile

ROPE_FACTORS = "rope_freqs.weight"
# Llama 3's: a frequency of more than 4 turns in its first context stays, one of less than 1 turn is
# divided by the factor, and those between are interpolated
_CONTEXT, _LOW, _HIGH = 8192, 1.0, 4.0


def rope_scaling(file: GGUFFile, head: int, theta: float) -> dict[str, Any] | None:
    """Return how the rotary frequencies are scaled.

    Args:
        file: a GGUF file.
        head: how many numbers a head has.
        theta: the base of the frequencies.

    Returns:
        The scaling as a config of `transformers` has it; None for none.

    Raises:
        BaseModelError: if it is a scaling that is not supported.
    """
    family = file.metadata["general.architecture"]
    kind = file.get(f"{family}.rope.scaling.type", str, "none")
    if kind not in ("none", "linear"):
        raise file.error(f"its positions are scaled by {kind!r}; expected 'none' or 'linear'")
    if ROPE_FACTORS in file.tensors:
        return _llama3_scaling(file, head, theta)
    if kind == "none":
        return None
    factor = file.get(f"{family}.rope.scaling.factor", (int, float), 1.0)
    return {"rope_type": "linear", "factor": float(factor)}


def _llama3_scaling(file: GGUFFile, head: int, theta: float) -> dict[str, Any]:
    """Return Llama 3's scaling, of which a file states the divisors; refuse those of another."""
    with ThreadPoolExecutor(1) as thread:
        divisors = dequantised(file, ROPE_FACTORS, torch.float32, thread).numpy()
    factor = float(divisors.max())
    # the count first: a damaged size of a head can be any
    if divisors.shape != (head // 2,) or not np.allclose(
        divisors, _llama3_divisors(head, theta, factor), rtol=1e-3
    ):
        raise file.error(f"its {ROPE_FACTORS} are not those of Llama 3")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        "original_max_position_embeddings": _CONTEXT,
    }


def _llama3_divisors(head: int, theta: float, factor: float) -> npt.NDArray[np.float64]:
    """Return what each rotary frequency is divided by, (head / 2,)."""
    frequencies = theta ** (-np.arange(0, head, 2, dtype=np.float64) / head)
    turns = _CONTEXT * frequencies / (2 * np.pi)
    kept = np.clip((turns - _LOW) / (_HIGH - _LOW), 0, 1)
    divisors: npt.NDArray[np.float64] = 1 / ((1 - kept) / factor + kept)
    return divisors
