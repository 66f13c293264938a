"""The config of an LLM, from what its GGUF file states: of the Llama and Qwen families."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import AutoConfig, GenerationConfig, PretrainedConfig

from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.backbone.gguf.rope import rope_scaling

# what llama.cpp calls an architecture is what transformers calls a model type
ARCHITECTURES = ("llama", "qwen2", "qwen3")
_NUMBER = (int, float)
# read below, or of no effect on what is computed
_KNOWN = {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "vocab_size",
}
_SAMPLING = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}


def read_config(file: GGUFFile) -> PretrainedConfig:
    """Return the config of the LLM in a file.

    Args:
        file: a GGUF file.

    Returns:
        The config that `transformers` builds the LLM from.

    Raises:
        BaseModelError: if the architecture is not supported, or what the file states of it is
            incomplete, contradicts itself, or is not computed here.
    """
    family = _architecture(file)
    hidden, heads = _size(file, "embedding_length"), _size(file, "attention.head_count")
    head = _size(file, "attention.key_length", hidden // heads)
    _require_plain_heads(file, head)
    _require_known_head_size(file, hidden, heads)
    theta = float(file.get(f"{family}.rope.freq_base", _NUMBER, 10000.0))
    bias = "blk.0.attn_output.bias" in file.tensors
    settings: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": _layers(file),
        "intermediate_size": _size(file, "feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": _size(file, "attention.head_count_kv", heads),
        "head_dim": head,
        "max_position_embeddings": _size(file, "context_length"),
        "rms_norm_eps": _epsilon(file),
        "rope_theta": theta,
        "rope_scaling": rope_scaling(file, head, theta),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "vocab_size": _vocabulary(file),
        **{f"{name}_token_id": token_id(file, name) for name in ("bos", "eos")},
        "pad_token_id": token_id(file, "padding"),
    }
    if family != "qwen2":
        settings |= {"attention_bias": bias}
    if family == "llama":
        settings |= {"mlp_bias": "blk.0.ffn_down.bias" in file.tensors}
    config: PretrainedConfig = AutoConfig.for_model(family, **settings)
    return config


def read_generation_config(file: GGUFFile) -> GenerationConfig:
    """Return which tokens end what the LLM writes, and how its makers sample.

    Args:
        file: a GGUF file.

    Returns:
        The generation config; it samples if the file states a temperature above 0.
    """
    ends = [token_id(file, name) for name in ("eos", "eot", "eom")]
    stated = {
        name: file.get(f"general.sampling.{key}", _NUMBER)
        for key, name in _SAMPLING.items()
        if f"general.sampling.{key}" in file.metadata
    }
    samples = stated.get("temperature", 0) > 0
    return GenerationConfig(
        bos_token_id=token_id(file, "bos"),
        eos_token_id=list(dict.fromkeys(end for end in ends if end is not None)) or None,
        pad_token_id=token_id(file, "padding"),
        do_sample=samples,
        **(stated if samples else {}),
    )


def token_id(file: GGUFFile, name: str) -> int | None:
    """Return the id of a token with a part to play, such as "bos"; None if there is none.

    Args:
        file: a GGUF file.
        name: the token's, as the file calls it.

    Returns:
        The id.

    Raises:
        BaseModelError: if it is not one of the vocabulary.
    """
    index: int | None = file.get(f"tokenizer.ggml.{name}_token_id", int)
    tokens: list[str] = file.get("tokenizer.ggml.tokens", list, [])
    if index is not None and tokens and not 0 <= index < len(tokens):
        raise file.error(f"its {name} token has the id {index}, and there are {len(tokens)} tokens")
    return index


def _architecture(file: GGUFFile) -> str:
    """Return the architecture; refuse another, or one of these with parts of its own."""
    family = file.get("general.architecture", str)
    if family not in ARCHITECTURES:
        raise file.error(
            f"its architecture is {family!r}; expected one of {', '.join(ARCHITECTURES)}",
            "Pass base_model= with the model's hub id or its folder in the layout of transformers.",
        )
    if (parts := file.get("split.count", int, 1)) > 1:
        raise file.error(
            f"it is one of {parts} parts of a model",
            "Run: llama-gguf-split --merge FIRST_PART WHOLE.gguf, and pass base_model= with the "
            "whole.",
        )
    keys = [key for key in file.metadata if key.startswith(f"{family}.")]
    for key in keys:
        if key.partition(".")[2] not in _KNOWN:
            raise file.error(
                f"it states {key} = {file.metadata[key]!r:.40}, which is not computed for GGUF",
                "Pass base_model= with the model's hub id or its folder in the layout of "
                "transformers.",
            )
    return str(family)


def _size(file: GGUFFile, name: str, default: int | None = None) -> int:
    """Return a size of the LLM, an integer above 0."""
    key = f"{file.metadata['general.architecture']}.{name}"
    size = file.get(key, int, default)
    if size is None or size < 1:
        raise file.error(f"its {key} is {size}; expected an integer above 0")
    return int(size)


def _layers(file: GGUFFile) -> int:
    """Return how many layers there are; refuse more than tensors, for each would be built first."""
    layers = _size(file, "block_count")
    if layers > len(file.tensors):
        raise file.error(
            f"its block_count is {layers}, and it has {len(file.tensors)} tensors; expected at "
            "least as many"
        )
    return layers


def _epsilon(file: GGUFFile) -> float:
    key = f"{file.metadata['general.architecture']}.attention.layer_norm_rms_epsilon"
    epsilon = file.get(key, float)
    if epsilon is None:
        raise file.error(f"it does not state {key}")
    # stored as float32: 1e-5 is read as 9.99999974e-06
    return float(np.format_float_positional(np.float32(epsilon)))


def _vocabulary(file: GGUFFile) -> int:
    """Return how many embeddings there are; refuse fewer than tokens."""
    if "token_embd.weight" not in file.tensors:
        raise file.error("it has no tensor token_embd.weight, as if it held a tokenizer alone")
    rows = file.tensors["token_embd.weight"].shape[0]
    tokens: list[str] = file.get("tokenizer.ggml.tokens", list, [])
    if len(tokens) > rows:
        raise file.error(f"it has {len(tokens)} tokens, and embeddings for {rows}")
    return rows


def _require_plain_heads(file: GGUFFile, head: int) -> None:
    """Raise an error unless each head has one size, of which all is rotated."""
    values = _size(file, "attention.value_length", head)
    rotated = _size(file, "rope.dimension_count", head)
    if values != head or rotated != head or head % 2:
        raise file.error(
            f"its heads have {head} numbers of keys, {values} of values and {rotated} that are "
            "rotated; expected one even number"
        )


def _require_known_head_size(file: GGUFFile, hidden: int, heads: int) -> None:
    """Raise an error if the size of a head is neither stated nor a part of a state's."""
    family = file.metadata["general.architecture"]
    is_stated = f"{family}.attention.key_length" in file.metadata
    # transformers 5 refuses such a Llama, whatever is stated
    if hidden % heads and (family == "llama" or not is_stated):
        raise file.error(f"its {hidden} numbers of a state do not divide by {heads} heads")
