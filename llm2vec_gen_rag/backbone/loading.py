"""Load the frozen LLM: a folder, a GGUF file or from the hub, whole, without gradients."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm2vec_gen_rag.arguments import is_path
from llm2vec_gen_rag.backbone.device import cpu_dtype, require_devices
from llm2vec_gen_rag.backbone.facts import freeze
from llm2vec_gen_rag.backbone.gguf.loading import load_gguf
from llm2vec_gen_rag.backbone.gguf.location import find_gguf
from llm2vec_gen_rag.backbone.int8 import has_fast_products, quantize_layers
from llm2vec_gen_rag.backbone.load_errors import (
    not_loaded,
    require_config_files,
    require_tied,
    require_whole,
)
from llm2vec_gen_rag.backbone.placement import require_in_memory, require_placed
from llm2vec_gen_rag.errors import BaseModelError, MissingExtraError

logger = logging.getLogger(__name__)

# options that this machine may be unable to meet
_ASKED_OF_A_MACHINE = ("device_map", "quantization_config", "attn_implementation")


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
        base_model: a hub id, a folder, or a GGUF file: its path, that of a folder with no other
            weights, or on the hub "owner/name/file.gguf".
        device: where to put it, unless `options` has a device map or a quantization config.
        dtype: of its weights; None takes the base model's own, which for a quantised GGUF file is
            bfloat16: it is dequantised as it is loaded. int8 is for the linear layers only,
            on a CPU: see `int8.quantize_layers`.
        options: how to load it.

    Returns:
        The causal LM.

    Raises:
        BaseModelError: if it cannot be found or loaded, lacks weights, has weights that its config
            does not use, or is to be put on a device that is not available.
        MissingExtraError: if it is a GGUF file, and the extra "gguf" is not installed.
        UnsafeFileError: if its weights are a pickle with code in it.
        ValueError: if int8 is combined with a device map or a quantization config, or the LLM does
            not support it.
    """
    require_devices(options.device_map)
    if dtype == torch.int8:
        _refuse_other_plans(options)
        backbone = load_backbone(base_model, device, cpu_dtype(), options)
        quantize_layers(backbone)
        if not has_fast_products():
            logger.warning(
                "int8 takes less memory and embeds slower: this CPU does not multiply 8 bits fast"
            )
        return backbone
    backbone = _load_whole(base_model, device, dtype, options)
    freeze(backbone)
    return backbone


def _load_whole(
    base_model: str, device: torch.device, dtype: torch.dtype | None, options: BackboneOptions
) -> PreTrainedModel:
    """Return the LLM on its device; refuse one that lacks weights, or has others."""
    given, folder = options.loader_arguments(), Path(base_model)
    asked = {name: given[name] for name in _ASKED_OF_A_MACHINE if name in given}
    try:
        if (file := _find_gguf(base_model, options)) is not None:
            backbone: Any = load_gguf(base_model, file, dtype, asked)
        else:
            folder = _find_configs(base_model, options)
            require_config_files(base_model, folder)
            backbone = _load_folder(base_model, dtype, given)
    except (BaseModelError, MissingExtraError, MemoryError):
        raise
    except Exception as error:  # of any type: a damaged file or an option fails anywhere in there
        raise not_loaded(base_model, folder, asked, error) from error
    require_placed(backbone, options.device_map)
    if options.device_map is None and options.quantization_config is None:
        backbone.to(device)
    require_in_memory(base_model, backbone, options.device_map)
    whole: PreTrainedModel = backbone
    return whole


def _load_folder(base_model: str, dtype: torch.dtype | None, given: dict[str, Any]) -> Any:
    """Return the LLM that `transformers` finds, if its weights are exactly those of its config."""
    loader: Any = AutoModelForCausalLM  # its annotations leave out the loading report
    backbone, report = loader.from_pretrained(
        base_model,
        dtype=dtype or "auto",
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # for the report to name them
        return_dict=True,  # whatever the config says
        **given,
    )
    require_whole(base_model, report)
    require_tied(base_model, backbone)
    return backbone


def _find_gguf(base_model: str, options: BackboneOptions) -> Path | None:
    """Return the GGUF file that a base model is in, or None."""
    return find_gguf(
        base_model,
        token=options.token,
        cache_folder=options.cache_folder,
        local_files_only=options.local_files_only,
    )


def _refuse_other_plans(options: BackboneOptions) -> None:
    """Raise ValueError if the options contradict int8 on one CPU."""
    for name in ("device_map", "quantization_config"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"got both dtype='int8' and {name}={getattr(options, name)!r}; expected one of "
                f"them. int8 is for an LLM on one CPU: leave out {name}, or pass another dtype."
            )


def _find_configs(base_model: str, options: BackboneOptions) -> Path:
    """Return the folder with the base model's configs, which are downloaded if it is on the hub.

    It is looked for once; `transformers` would ask an unreachable hub again and again.

    Raises:
        BaseModelError: if it is a path, and no folder is there.
    """
    if Path(base_model).is_dir():
        return Path(base_model)
    if is_path(base_model):
        raise BaseModelError(
            f"the base model {base_model!r} cannot be loaded (a path is a folder, and there is "
            "none; nor is there a GGUF file). Expected the frozen LLM's own: pass "
            "base_model='<hub id, folder or file>' to LLM2VecGen.from_pretrained."
        )
    return Path(
        snapshot_download(
            base_model,
            allow_patterns=["config.json", "generation_config.json"],
            token=options.token,
            cache_dir=options.cache_folder,
            local_files_only=options.local_files_only,
        )
    )
