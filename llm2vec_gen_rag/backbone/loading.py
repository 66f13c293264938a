"""The frozen LLM: where it runs, in which dtype, and how it is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm2vec_gen_rag.backbone.facts import freeze
from llm2vec_gen_rag.backbone.int8 import quantize_layers, require_exact_sums
from llm2vec_gen_rag.errors import BaseModelError, first_line

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class BackboneOptions:
    """What reaches the loader of the frozen LLM beyond its name; see `LLM2VecGen.from_pretrained`.

    Attributes:
        device_map: a plan of which layer goes where, read by accelerate; replaces a device.
        quantization_config: a `transformers` quantization config.
        attn_implementation: such as "sdpa", "eager" or "flash_attention_2".
        trust_remote_code: whether code from the base model's repository may run.
        token: for the hub.
        cache_folder: where downloads are kept.
        local_files_only: whether to stay off the network.
    """

    device_map: str | dict[str, Any] | None = None
    quantization_config: Any | None = None
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    token: str | None = None
    cache_folder: str | None = None
    local_files_only: bool = False

    def loader_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `AutoModelForCausalLM.from_pretrained`."""
        arguments = {
            "device_map": self.device_map,
            "quantization_config": self.quantization_config,
            "attn_implementation": self.attn_implementation,
            "token": self.token,
            "cache_dir": self.cache_folder,
        }
        return {
            "trust_remote_code": self.trust_remote_code,
            "local_files_only": self.local_files_only,
            **{name: value for name, value in arguments.items() if value is not None},
        }


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or for None the best there is: CUDA, else MPS, else CPU.

    "cuda" without a number is, in a process that a launcher such as `accelerate launch` started
    beside others, the GPU that is its own.

    Raises:
        ValueError: if there is no such device here.
    """
    if device is None:
        device = next((name for name in ("cuda", "mps") if _exists(name)), "cpu")
    if str(device) == "cuda" and (own := os.environ.get("LOCAL_RANK")) is not None:
        device = f"cuda:{own}"
    try:
        picked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a device; expected one such as 'cpu', 'cuda', 'cuda:0' or "
            "'mps', or None for the best there is"
        ) from error
    if not _exists(picked.type, picked.index):
        raise ValueError(
            f"device={device!r} is not available here; pass device='cpu', or None for the best "
            "there is"
        )
    return picked


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
        dtype: the one asked for; None picks: on an accelerator what the checkpoint states, on a CPU
            bfloat16 if it multiplies that natively, else float32. int8 is for `load_backbone`: the
            layers are in 8 bits, and the rest in what None picks.
        device: where the LLM runs.
        stated: what the checkpoint states; None leaves it to the base model's own config.

    Raises:
        ValueError: if the dtype asked for is none of float32, bfloat16, float16 and int8, or int8
            is asked for on another device than a CPU.
    """
    if _is_int8(dtype):
        if device.type != "cpu":
            raise ValueError(
                f"dtype='int8' was asked for on {device}; expected a CPU. Pass device='cpu', or a "
                "quantization_config in place of the dtype."
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
    """Return the dtype of floating-point numbers in which this CPU embeds fastest."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def parse_dtype(dtype: object) -> torch.dtype:
    """Return the dtype of a name such as "bfloat16" or "torch.bfloat16".

    Raises:
        ValueError: if it is none of float32, bfloat16 and float16.
    """
    parsed = DTYPES.get(str(dtype).removeprefix("torch."))
    if parsed is None:
        raise ValueError(
            f"dtype={dtype!r} is not supported; expected one of {', '.join(DTYPES)}, for embedding "
            "on a CPU int8, or None for the best of the device"
        )
    return parsed


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices natively (AVX512-BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def load_backbone(
    base_model: str,
    device: torch.device,
    dtype: torch.dtype | None,
    options: BackboneOptions,
) -> PreTrainedModel:
    """Return the frozen LLM, in evaluation mode and without gradients.

    Args:
        base_model: a hub id or a folder.
        device: where to put it, unless `options` says it.
        dtype: of its weights; None takes the base model's own. int8 is of its linear layers, on a
            CPU: see `int8.quantize_layers`.
        options: how to load it.

    Raises:
        BaseModelError: if it cannot be found, or lacks weights.
        ValueError: if int8 is asked for beside another plan, or cannot be had.
    """
    if dtype == torch.int8:
        _refuse_other_plans(options)
        require_exact_sums()
        backbone = load_backbone(base_model, device, cpu_dtype(), options)
        quantize_layers(backbone)
        return backbone
    loader: Any = AutoModelForCausalLM  # its annotations leave out the loading report
    try:
        _require_config(base_model, options)
        backbone, report = loader.from_pretrained(
            base_model,
            dtype=dtype or "auto",
            output_loading_info=True,
            **options.loader_arguments(),
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(
            f"the base model {base_model!r} cannot be loaded ({first_line(error)}). Expected the "
            "frozen LLM of this checkpoint as a hub id or a folder with config.json and weights: "
            "pass base_model='<hub id or folder>' to LLM2VecGen.from_pretrained."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise BaseModelError(
            f"the base model {base_model!r} lacks {len(missing)} of its weights, such as "
            f"{missing[0]!r}; expected a whole causal LM. Download it again, or pass base_model= "
            "with a folder that has all its files."
        )
    if options.device_map is None and options.quantization_config is None:
        backbone.to(device)
    freeze(backbone)
    frozen: PreTrainedModel = backbone
    return frozen


def _refuse_other_plans(options: BackboneOptions) -> None:
    """Raise ValueError if the options say in another way where or in what the LLM multiplies."""
    for name in ("device_map", "quantization_config"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"got both dtype='int8' and {name}={getattr(options, name)!r}; expected one of "
                f"them. int8 is for an LLM on one CPU: leave out {name}, or pass another dtype."
            )


def _require_config(base_model: str, options: BackboneOptions) -> None:
    """Look for the base model once; transformers would ask an unreachable hub again and again."""
    if not Path(base_model).is_dir():
        snapshot_download(
            base_model,
            allow_patterns="config.json",
            token=options.token,
            cache_dir=options.cache_folder,
            local_files_only=options.local_files_only,
        )
