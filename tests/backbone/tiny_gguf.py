"""GGUF files of a few hundred kilobytes, made from the base models of the reference checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

gguf = pytest.importorskip("gguf", reason='needs the extra "gguf"')

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_gguf(path, base, kind="F32", *, metadata=(), tensors=None, endian="<"):
    """Write the LLM of a folder as llama.cpp's converter does, with changes for a test.

    Metadata and tensors are by key and by name; None leaves one out.
    """
    byte_order = gguf.GGUFEndian.LITTLE if endian == "<" else gguf.GGUFEndian.BIG
    config = json.loads((base / "config.json").read_text())
    writer = gguf.GGUFWriter(path, config["model_type"], False, byte_order)
    for key, value in {
        **model_metadata(config),
        **tokenizer_metadata(base),
        **dict(metadata),
    }.items():
        add_value(writer, key, value)
    for name, values in {**converted(base, config), **(tensors or {})}.items():
        if values is not None:
            quantisable = values.ndim == 2
            add_tensor(writer, name, values, kind if quantisable else "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_value(writer, key, value):
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
    kinds |= {str: writer.add_string, list: writer.add_array}
    if key == "general.architecture":
        writer.kv_data[0].pop(key)
    if value is not None:
        kinds[type(value)](key, value)


def add_tensor(writer, name, values, kind):
    kind = gguf.GGMLQuantizationType[kind]
    packed = gguf.quantize(values.astype(np.float32), kind)
    writer.add_tensor(name, packed, raw_dtype=kind)


def model_metadata(config):
    values = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "rope.freq_base": config["rope_theta"],
        "vocab_size": config["vocab_size"],
    }
    values |= {"attention.key_length": config["head_dim"]} if "head_dim" in config else {}
    return {f"{config['model_type']}.{name}": value for name, value in values.items()}


def tokenizer_metadata(base):
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ids = {**tokenizer["model"]["vocab"], **added}
    rows = json.loads((base / "config.json").read_text())["vocab_size"]
    tokens = [f"[PAD{index}]" for index in range(rows)]
    kinds = [5] * rows  # unused
    for token, index in ids.items():
        tokens[index] = token
        kinds[index] = 3 if token in added else 1
    ends = {"eos": "<|im_end|>", "padding": "<|endoftext|>", "bos": "<|begin_of_text|>"}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(merge) for merge in tokenizer["model"]["merges"]],
        "tokenizer.ggml.add_bos_token": "<|begin_of_text|>" in added,
        "tokenizer.chat_template": TEMPLATE,
        **{f"tokenizer.ggml.{k}_token_id": added[t] for k, t in ends.items() if t in added},
    }


def converted(base, config):
    """Return the weights by llama.cpp's names, the rows of queries and keys in its order."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors = {}
    for name, values in load_file(base / "model.safetensors").items():
        part, _, kind = name.removeprefix("model.layers.").rpartition(".")
        layer, _, inner = part.partition(".")
        inside = layer.isdigit()
        known = NAMES[inner if inside else part]
        if config["model_type"] == "llama" and known in heads:
            pairs = values.reshape(heads[known], 2, -1, *values.shape[1:])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        tensors[f"{f'blk.{layer}.' if inside else ''}{known}.{kind}"] = values
    return tensors
