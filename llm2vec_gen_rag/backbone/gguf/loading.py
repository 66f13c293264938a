"""A GGUF file -> a causal LM of `transformers`, dequantised in one dtype."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from llm2vec_gen_rag.backbone.gguf.config import read_config, read_generation_config
from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.backbone.gguf.weights import own_dtype, read_weights


def load_gguf(
    base_model: str, path: Path, dtype: torch.dtype | None, arguments: Mapping[str, Any]
) -> PreTrainedModel:
    """Load the LLM in a GGUF file.

    Args:
        base_model: what the LLM is loaded by, by which it is found again.
        path: the file.
        dtype: of its weights; None takes the file's own, which is bfloat16 if it is quantised.
        arguments: of `from_pretrained`, such as a device map.

    Returns:
        The causal LM, on the CPU unless the arguments say otherwise.

    Raises:
        BaseModelError: if the file is damaged, contradicts itself, or holds an LLM that is not
            supported.
        MissingExtraError: if the extra "gguf" is not installed.
    """
    file = GGUFFile.read(path)
    config = read_config(file)
    dtype = dtype or own_dtype(file)
    kind, shapes = _layout(config)
    weights = read_weights(file, config, shapes, dtype)
    backbone: PreTrainedModel = kind.from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, **arguments
    )
    backbone.config._name_or_path = base_model
    backbone.generation_config = read_generation_config(file)
    return backbone


def _layout(config: PretrainedConfig) -> tuple[Any, dict[str, torch.Size]]:
    """Return the class of an LLM, and the shapes of the weights that it reads from a file."""
    with torch.device("meta"):
        backbone: Any = AutoModelForCausalLM.from_config(config)
    shapes = {name: weight.shape for name, weight in backbone.named_parameters()}
    return type(backbone), shapes
