"""Load the frozen LLM: from a folder or the hub, whole, in one dtype, without gradients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm2vec_gen_rag.backbone.device import cpu_dtype
from llm2vec_gen_rag.backbone.facts import freeze
from llm2vec_gen_rag.backbone.int8 import quantize_layers, require_exact_sums
from llm2vec_gen_rag.backbone.threads import note_loading
from llm2vec_gen_rag.errors import BaseModelError, first_line


@dataclass(frozen=True)
class BackboneOptions:
    """How to load the frozen LLM, beyond its name; see `LLM2VecGen.from_pretrained`.

    Attributes:
        device_map: which layer goes where, read by accelerate; replaces a device.
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


def load_backbone(
    base_model: str,
    device: torch.device,
    dtype: torch.dtype | None,
    options: BackboneOptions,
) -> PreTrainedModel:
    """Load the frozen LLM, in evaluation mode and without gradients.

    Args:
        base_model: a hub id or a folder.
        device: where to put it, unless `options` has a device map or a quantization config.
        dtype: of its weights; None takes the base model's own. int8 is for the linear layers only,
            on a CPU: see `int8.quantize_layers`.
        options: how to load it.

    Returns:
        The causal LM.

    Raises:
        BaseModelError: if it cannot be found, or lacks weights.
        ValueError: if int8 is combined with a device map or a quantization config, or this CPU or
            LLM does not support it.
    """
    if dtype == torch.int8:
        _refuse_other_plans(options)
        require_exact_sums()
        backbone = load_backbone(base_model, device, cpu_dtype(), options)
        quantize_layers(backbone)
        return backbone
    note_loading()
    backbone = _load_whole(base_model, device, dtype, options)
    freeze(backbone)
    return backbone


def _load_whole(
    base_model: str, device: torch.device, dtype: torch.dtype | None, options: BackboneOptions
) -> PreTrainedModel:
    """Return the LLM on its device; refuse one that lacks weights."""
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
    whole: PreTrainedModel = backbone
    return whole


def _refuse_other_plans(options: BackboneOptions) -> None:
    """Raise ValueError if the options contradict int8 on one CPU."""
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
