"""A base LLM and its response tokens as a GGUF file of 16 or 8 bits, for llama.cpp.

It holds no tokenizer: every peer is given token ids.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

_ROTATED = ("q_proj.weight", "k_proj.weight")


def write_gguf(file: Path, base: Path, response_tokens: np.ndarray, kind: str) -> None:
    """Write an LLM of the Llama or Qwen3 family, with tied embeddings.

    Args:
        file: where to.
        base: the LLM's folder.
        response_tokens: (count, hidden), appended to the table of embeddings.
        kind: of the matrices: F16, BF16 or Q8_0. Vectors are float32.
    """
    lm = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = lm.config
    writer = gguf.GGUFWriter(file, config.model_type)
    _write_sizes(writer, config, config.vocab_size + len(response_tokens))
    names = gguf.get_tensor_name_map(
        getattr(gguf.MODEL_ARCH, config.model_type.upper()), config.num_hidden_layers
    )
    for name, weight in lm.base_model.state_dict(prefix="model.").items():
        values = weight.numpy()
        if name.endswith("embed_tokens.weight"):
            values = np.concatenate([values, response_tokens])
        if config.model_type == "llama" and name.endswith(_ROTATED):
            values = _in_pairs(values, config.head_dim)
        stored = gguf.GGMLQuantizationType["F32" if values.ndim == 1 else kind]
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight", ".bias")),
            gguf.quantize(values, stored),
            raw_dtype=stored,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_sizes(writer: gguf.GGUFWriter, config: object, vocabulary: int) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("no_vocab")


def _in_pairs(weight: np.ndarray, head: int) -> np.ndarray:
    """Return rows as llama.cpp orders those of Llama: two that rotate together are neighbours."""
    pairs = weight.reshape(-1, 2, head // 2, weight.shape[1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)
