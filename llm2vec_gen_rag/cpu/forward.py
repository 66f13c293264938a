"""One forward of a frozen LLM on a CPU that computes no state that nobody reads.

The layers are those of `transformers`, called one by one with the modules they consist of. Against
the LLM's own forward, three things are left out: padding, as texts stand one behind the other but
for attention, where a causal LLM needs no mask of it; the tokens that every text begins with, once
their keys and values are known; and in the last layer all but the states that are read. The vectors
are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.cpu.attention import causal_attention
from llm2vec_gen_rag.cpu.packing import Packing

# layers of one and the same form: norm, attention, sum, norm, feed-forward, sum
_LAYERS = {
    f"transformers.models.{family}.modeling_{family}.{name}DecoderLayer"
    for family, name in (
        ("llama", "Llama"),
        ("mistral", "Mistral"),
        ("qwen2", "Qwen2"),
        ("qwen3", "Qwen3"),
    )
}
# rotary frequencies that depend on the length of what is read, so not the same for a part of it
_ROTARY_BY_LENGTH = {"dynamic", "longrope"}

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Prefix:
    """What the LLM keeps of the tokens that every text begins with.

    Attributes:
        tokens: how many there are.
        layers: keys and values of each layer, (batch, key heads, tokens, head); a batch of one
            stands before every row of what follows.
    """

    tokens: int
    layers: Sequence[KeysValues]

    def first(self, tokens: int) -> Prefix:
        """Return what it keeps of its first tokens."""
        layers = [(keys[:, :, :tokens], values[:, :, :tokens]) for keys, values in self.layers]
        return Prefix(tokens, layers)


def runs_in_parts(backbone: PreTrainedModel) -> bool:
    """Return whether `read_states` computes what the LLM's own forward does.

    True on a CPU, for layers of a known form, where no other way of attention was asked for. That
    they attend to all before them, and not back a window, is for the caller to see to.
    """
    return has_known_layers(backbone) and backbone.config._attn_implementation == "sdpa"


def has_known_layers(backbone: PreTrainedModel) -> bool:
    """Return whether the LLM is on a CPU and has layers of a known form."""
    model: Any = backbone.base_model
    layers = list(getattr(model, "layers", []))
    return bool(
        layers
        and all(_path(layer) in _LAYERS for layer in layers)
        and backbone.device.type == "cpu"
        and getattr(backbone, "hf_device_map", None) is None
        and model.rotary_emb.rope_type not in _ROTARY_BY_LENGTH
    )


def _path(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def read_prefix(backbone: PreTrainedModel, ids: Tensor) -> Prefix:
    """Return what the LLM keeps of some tokens, ids (batch, tokens)."""
    model: Any = backbone.base_model
    batch, tokens = ids.shape
    packing = Packing([tokens] * batch)
    states = model.embed_tokens(ids).flatten(0, 1)
    rotary = _rotary(model, states, packing.positions)
    positions = torch.arange(tokens)
    kept = []
    for layer in model.layers:
        normed = root_mean_square_norm(layer.input_layernorm, states)
        kept.append(_keys_values(layer.self_attn, normed, rotary, packing))
        if layer is not model.layers[-1]:  # what comes out of the last, nobody reads
            states = _layer_output(layer, states, normed, kept[-1], rotary, packing, positions)
    return Prefix(tokens, kept)


def read_states(
    backbone: PreTrainedModel,
    inputs: Tensor,
    packing: Packing,
    places: Tensor,
    prefix: Prefix | None,
) -> Tensor:
    """Return last hidden states at some places.

    Args:
        backbone: an LLM that `runs_in_parts`.
        inputs: (rows, hidden) input embeddings, one text behind the other.
        packing: which of them are which text's.
        places: (batch, K), which rows of the inputs to read, in each text ascending.
        prefix: what stands before every text, if anything does.

    Returns:
        (batch, K, hidden).
    """
    model: Any = backbone.base_model
    start = 0 if prefix is None else prefix.tokens
    positions = torch.arange(start, start + packing.width)
    rotary = _rotary(model, inputs, start + packing.positions)
    states, read_from = inputs, packing
    for index, layer in enumerate(model.layers):
        normed = root_mean_square_norm(layer.input_layernorm, states)
        known = _keys_values(layer.self_attn, normed, rotary, packing)
        if prefix is not None:
            known = _behind_prefix(prefix.layers[index], known)
        if layer is model.layers[-1]:
            rows = places.flatten()
            states, normed, rotary = states[rows], normed[rows], (rotary[0][rows], rotary[1][rows])
            positions = start + packing.positions[places]
            read_from = Packing([places.shape[1]] * len(places))
        states = _layer_output(layer, states, normed, known, rotary, read_from, positions)
    read: Tensor = model.norm(read_from.spread(states))
    return read


def _rotary(model: Any, states: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of some positions, each (tokens, head)."""
    cos, sin = model.rotary_emb(states, positions[None])
    return cos[0], sin[0]


def _layer_output(
    layer: Any,
    states: Tensor,
    normed: Tensor,
    known: KeysValues,
    rotary: tuple[Tensor, Tensor],
    packing: Packing,
    positions: Tensor,
) -> Tensor:
    """Return the states (tokens, hidden) behind a layer that come to `positions`."""
    attention = layer.self_attn
    queries = packing.spread(rotated(_by_head(attention, "q", normed), rotary))
    read = causal_attention(queries.mul_(attention.scaling), *known, positions)
    states = attention.o_proj(packing.packed(read)).add_(states)
    normed = root_mean_square_norm(layer.post_attention_layernorm, states)
    output: Tensor = layer.mlp(normed).add_(states)
    return output


def _keys_values(
    attention: Any, normed: Tensor, rotary: tuple[Tensor, Tensor], packing: Packing
) -> KeysValues:
    """Return keys and values of normed states, each (batch, key heads, tokens, head)."""
    keys = packing.spread(rotated(_by_head(attention, "k", normed), rotary))
    values = packing.spread(_by_head(attention, "v", normed))
    return keys.transpose(1, 2), values.transpose(1, 2)


def _by_head(attention: Any, kind: str, normed: Tensor) -> Tensor:
    """Return queries, keys or values by head, (tokens, heads, head)."""
    projected = getattr(attention, f"{kind}_proj")(normed)
    heads: Tensor = projected.unflatten(-1, (-1, attention.head_dim))
    norm = head_norm(attention, kind)
    return heads if norm is None else root_mean_square_norm(norm, heads)


def head_norm(attention: Any, kind: str) -> Any | None:
    """Return the norm of each query ("q") or key ("k"), which Qwen3 has and others have not."""
    return getattr(attention, f"{kind}_norm", None)


def root_mean_square_norm(norm: Any, states: Tensor) -> Tensor:
    """Return w x / r with r = sqrt(mean(x^2) + eps) (arXiv 1910.07467), as the LLM's own module.

    Lengths and scaling are computed in float32.
    """
    normed, _ = unit_mean_square(states, norm.variance_epsilon)
    return normed.to(states.dtype).mul_(norm.weight)


def unit_mean_square(states: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return x / r of `root_mean_square_norm` and 1 / r, (..., 1), both new and in float32."""
    # a copy, then in place: one operation over two dtypes takes up to ten times as long
    wide = torch.empty(states.shape, dtype=torch.float32).copy_(states)
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    scale: Tensor = length.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
    return wide.mul_(scale), scale


def rotated(heads: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Return heads turned by their positions (arXiv 2104.09864), the halves as pairs."""
    cos, sin = (part.unsqueeze(-2) for part in rotary)
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1).mul_(sin).addcmul_(heads, cos)


def _behind_prefix(prefix: KeysValues, known: KeysValues) -> KeysValues:
    """Return keys and values of the prefix and of what follows, for every row of the batch."""
    rows = len(known[0])
    return (
        torch.cat([prefix[0].expand(rows, -1, -1, -1), known[0]], dim=2),
        torch.cat([prefix[1].expand(rows, -1, -1, -1), known[1]], dim=2),
    )
