"""The weights of an LLM in a GGUF file: dequantised, under the names of `transformers`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from transformers import PretrainedConfig

from llm2vec_gen_rag.backbone.gguf.dequantise import dequantised
from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.backbone.gguf.rope import ROPE_FACTORS

_OUTSIDE_LAYERS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_INSIDE_LAYERS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def own_dtype(file: GGUFFile) -> torch.dtype:
    """Return the dtype of the embeddings if they are not quantised, else bfloat16.

    bfloat16 rounds a weight by at most 1/256 of itself, and quantisation to 8 bits by 1/254 of the
    largest of its block.
    """
    from gguf import GGMLQuantizationType

    plain = {
        GGMLQuantizationType.F32: torch.float32,
        GGMLQuantizationType.F16: torch.float16,
    }
    kind = GGMLQuantizationType(file.tensors["token_embd.weight"].kind)
    return plain.get(kind, torch.bfloat16)


def read_weights(
    file: GGUFFile,
    config: PretrainedConfig,
    shapes: Mapping[str, torch.Size],
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Return every weight of an LLM.

    Args:
        file: a GGUF file.
        config: of the LLM in it.
        shapes: of the weights that the config asks for, by their names in transformers.
        dtype: to store them in.

    Returns:
        The weights by the same names, without an output layer that is the embedding.

    Raises:
        BaseModelError: if the file lacks a weight, or has another or one of another shape.
    """
    sources = {_name_of(file, name): name for name in file.tensors if name != ROPE_FACTORS}
    _require_shapes(file, sources, shapes)
    weights: dict[str, Tensor] = {}
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for name, source in sources.items():
            weight = dequantised(file, source, dtype, threads)
            heads = _rotated_heads(config, source)
            weights[name] = weight if heads is None else _paired_halves(weight, heads)
    return weights


def _name_of(file: GGUFFile, name: str) -> str:
    """Return the name that a tensor has in transformers."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    layer, part, kind = match.groups() if match else (None, name, "")
    known = _OUTSIDE_LAYERS if layer is None else _INSIDE_LAYERS
    if part not in known:
        raise file.error(f"it has a tensor {name!r:.60}, which its architecture does not use")
    within = "" if layer is None else f"model.layers.{layer}."
    return f"{within}{known[part]}.{kind}"


def _require_shapes(
    file: GGUFFile, sources: Mapping[str, str], shapes: Mapping[str, torch.Size]
) -> None:
    """Raise an error unless the file has exactly the weights that its metadata asks for."""
    for name, source in sources.items():
        if name not in shapes:
            raise file.error(f"it has a tensor {source!r}, for which its metadata has no place")
        if (found := file.tensors[source].shape) != tuple(shapes[name]):
            raise file.error(
                f"its tensor {source!r} has the shape {found}, and its metadata states "
                f"{tuple(shapes[name])}"
            )
    if missing := sorted(shapes.keys() - sources.keys()):
        raise file.error(f"it lacks {len(missing)} of its weights, such as {missing[0]!r}")


def _rotated_heads(config: PretrainedConfig, source: str) -> int | None:
    """Return how many heads a tensor has, if llama.cpp stores its rows in another order."""
    if config.model_type != "llama":
        return None
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    return heads.get(source.split(".")[-2])


def _paired_halves(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of each head in the order of transformers.

    Row i and row i + half rotate together there; llama.cpp puts such two rows beside each other.
    """
    pairs = weight.view(heads, -1, 2, math.prod(weight.shape[1:]))
    return pairs.transpose(1, 2).reshape(weight.shape)
