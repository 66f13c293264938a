"""Tiny random LLM2Vec encoders in the published layout, and what they compute, written out."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from reference_kits import ReferenceKit
from safetensors.torch import load_file
from transformers import AutoModel

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 4, 8
TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]


def write_llm2vec(folder, kit="qwen3-10"):
    """Write both adapters for the base of a reference kit; the name of the second loads them."""
    base = ReferenceKit(kit).base
    names = [folder / "LLM2Vec-Tiny-mntp", folder / "LLM2Vec-Tiny-mntp-unsup-simcse"]
    for seed, adapter in enumerate(names):
        torch.manual_seed(seed)
        config = LoraConfig(
            r=RANK, lora_alpha=ALPHA, target_modules=LAYERS, init_lora_weights=False
        )
        get_peft_model(AutoModel.from_pretrained(base), config).save_pretrained(adapter)
        for file in TOKENIZER:
            shutil.copy(base / file, adapter)
    # as published: the config of the MNTP adapter points to code beside it
    config = json.loads((base / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_encoder.Encoder"}
    (names[0] / "config.json").write_text(json.dumps(config))
    (names[0] / "modeling_encoder.py").write_text("raise SystemExit('this code was run')")
    return str(names[1])


def expected_vector(name, kit, ids, *, bos):
    """Return the mean state after the BOS, each layer spelled out in float64 without any mask."""
    base = ReferenceKit(kit).base
    config = json.loads((base / "config.json").read_text())
    weights = _merged(
        load_file(base / "model.safetensors"), [name.removesuffix("-unsup-simcse"), name]
    )
    states = weights["embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        part = {
            key.removeprefix(f"layers.{layer}."): weight
            for key, weight in weights.items()
            if key.startswith(f"layers.{layer}.")
        }
        states = states + _attention(part, _norm(states, part["input_layernorm.weight"]), config)
        normed = _norm(states, part["post_attention_layernorm.weight"])
        gate = torch.nn.functional.silu(normed @ part["mlp.gate_proj.weight"].T)
        up = normed @ part["mlp.up_proj.weight"].T
        states = states + (gate * up) @ part["mlp.down_proj.weight"].T
    return _norm(states, weights["norm.weight"])[bos:].mean(dim=0).numpy()


def _merged(weights, adapters):
    weights = {key.removeprefix("model."): weight.double() for key, weight in weights.items()}
    for adapter in adapters:
        lora = load_file(Path(adapter) / "adapter_model.safetensors")
        for key in [key for key in lora if ".lora_A." in key]:
            down, up = lora[key].double(), lora[key.replace("lora_A", "lora_B")].double()
            target = key.removeprefix("base_model.model.").replace(".lora_A", "")
            weights[target] = weights[target] + ALPHA / RANK * up @ down
    return weights


def _attention(part, states, config):
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    query, key, value = (
        _heads(
            part, states, f"self_attn.{letter}", size, config["rope_theta"], rotated=letter != "v"
        )
        for letter in "qkv"
    )
    key, value = (x.repeat_interleave(heads // x.shape[0], dim=0) for x in (key, value))
    attention = (query @ key.transpose(1, 2) / math.sqrt(size)).softmax(dim=-1)
    joined = (attention @ value).transpose(0, 1).reshape(len(states), -1)
    return joined @ part["self_attn.o_proj.weight"].T


def _heads(part, states, name, size, theta, *, rotated):
    projected = states @ part[f"{name}_proj.weight"].T
    if f"{name}_proj.bias" in part:
        projected = projected + part[f"{name}_proj.bias"]
    heads = projected.reshape(len(states), -1, size).transpose(0, 1)
    if f"{name}_norm.weight" in part:
        heads = _norm(heads, part[f"{name}_norm.weight"])
    if not rotated:
        return heads
    frequencies = theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(len(states), dtype=torch.float64)[:, None] * frequencies
    first, second = heads.chunk(2, dim=-1)
    return torch.cat(
        [
            first * angles.cos() - second * angles.sin(),
            second * angles.cos() + first * angles.sin(),
        ],
        dim=-1,
    )


def _norm(states, weight, epsilon=1e-6):
    return weight * states / (states.pow(2).mean(dim=-1, keepdim=True) + epsilon).sqrt()
