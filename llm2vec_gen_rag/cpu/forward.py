"""A CPU forward pass of the frozen LLM that skips hidden states that are never used.

The layers are those of `transformers`, run one by one with the modules they consist of. Compared
with the LLM's own forward, three things are left out: padding, as texts are packed for everything
but attention; the tokens that every text begins with, once their keys and values are cached; and,
in the last layer, all states but those that are read. The vectors are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.freed_memory import keep_freed_memory
from llm2vec_gen_rag.backbone.linear import linear
from llm2vec_gen_rag.cpu.attention import causal_attention
from llm2vec_gen_rag.cpu.layer import (
    KeysValues,
    LayerContext,
    concatenated,
    feed_forward,
    keys_values_of,
    rms_norm,
    rotary_of,
    scaled_queries,
)
from llm2vec_gen_rag.cpu.packing import Packing
from llm2vec_gen_rag.cpu.supported import has_supported_layers


class Past(Protocol):
    """The tokens that precede those of a forward: a `Prefix`, or a `KVCache`."""

    def positions(self, packing: Packing) -> Tensor:
        """Return the position of each packed row in its text, (rows,)."""

    def key_positions(self, packing: Packing) -> Tensor:
        """Return the positions of padded rows among the keys, (width,) or (batch, width)."""

    def extend(self, layer: int, own: KeysValues) -> KeysValues:
        """Return keys and values of one layer, those of the preceding tokens first.

        A `KVCache` keeps them for the tokens that follow.
        """


@dataclass(frozen=True)
class Prefix:
    """The KV cache of the tokens that precede a batch of texts.

    Attributes:
        tokens: the number of tokens.
        layers: keys and values of each layer, (batch, key heads, tokens, head); a batch of one
            precedes every text.
    """

    tokens: int
    layers: Sequence[KeysValues]

    def positions(self, packing: Packing) -> Tensor:
        """See `Past`."""
        return self.tokens + packing.positions

    def key_positions(self, packing: Packing) -> Tensor:
        """See `Past`."""
        return torch.arange(self.tokens, self.tokens + packing.width)

    def extend(self, layer: int, own: KeysValues) -> KeysValues:
        """See `Past`."""
        return concatenated(self.layers[layer], own) if self.layers else own


NO_PREFIX = Prefix(0, ())


class Forward:
    """The layers of one frozen LLM, run without gradient; made by `forward_for`.

    Attributes:
        dtype: of the LLM's weights.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        """Take a supported LLM."""
        keep_freed_memory()
        self.dtype = backbone.dtype
        self._model: Any = backbone.base_model

    def read_prefix(self, ids: Tensor) -> Prefix:
        """Return the KV cache of some tokens, ids (batch, tokens)."""
        model, (batch, tokens) = self._model, ids.shape
        packing = Packing([tokens] * batch)
        states = model.embed_tokens(ids).flatten(0, 1)
        rotary = rotary_of(model, states, packing.positions)
        context = LayerContext(packing, rotary, torch.arange(tokens))
        layers = []
        for layer in model.layers:
            normed = rms_norm(layer.input_layernorm, states)
            layers.append(_keys_values(layer.self_attn, normed, context))
            if layer is not model.layers[-1]:  # the output of the last layer is unused
                states = _layer_output(layer, states, normed, layers[-1], context)
        return Prefix(tokens, layers)

    def states(
        self, inputs: Tensor, packing: Packing, read_rows: Tensor, past: Past = NO_PREFIX
    ) -> Tensor:
        """Return last hidden states of some rows.

        Args:
            inputs: (rows, hidden) input embeddings, packed.
            packing: which of them belong to which text.
            read_rows: (batch, K), the rows to read, ascending in each text.
            past: what precedes the texts.

        Returns:
            (batch, K, hidden).
        """
        model, positions = self._model, past.positions(packing)
        rotary = rotary_of(model, inputs, positions)
        context = LayerContext(packing, rotary, past.key_positions(packing))
        states = inputs
        for index, layer in enumerate(model.layers):
            normed = rms_norm(layer.input_layernorm, states)
            keys_values = past.extend(index, _keys_values(layer.self_attn, normed, context))
            if layer is model.layers[-1]:
                rows = read_rows.flatten()
                states, normed = states[rows], normed[rows]
                context = LayerContext(
                    Packing([read_rows.shape[1]] * len(read_rows)),
                    (rotary[0][rows], rotary[1][rows]),
                    positions[read_rows],
                )
            states = _layer_output(layer, states, normed, keys_values, context)
        output: Tensor = model.norm(context.packing.pad(states))
        return output


def forward_for(backbone: PreTrainedModel) -> Forward | None:
    """Return the forward without gradient for this LLM; None where its own has to run.

    Its own runs on another device, with layers of another form, with hooks that it has to call, and
    where another attention than "sdpa" was asked for.
    """
    supported = has_supported_layers(backbone) and backbone.config._attn_implementation == "sdpa"
    return Forward(backbone) if supported else None


def _keys_values(attention: Any, normed: Tensor, context: LayerContext) -> KeysValues:
    """Return keys and values of normed states (rows, hidden)."""
    products = linear(attention.k_proj, normed), linear(attention.v_proj, normed)
    return keys_values_of(attention, *products, context)


def _layer_output(
    layer: Any, states: Tensor, normed: Tensor, keys_values: KeysValues, context: LayerContext
) -> Tensor:
    """Return the output (rows, hidden) of a layer for its input states (rows, hidden)."""
    attention = layer.self_attn
    queries = scaled_queries(attention, linear(attention.q_proj, normed), context)
    attended = causal_attention(queries, *keys_values, context.positions)
    middle = linear(attention.o_proj, context.packing.unpad(attended)).add_(states)
    normed = rms_norm(layer.post_attention_layernorm, middle)
    return feed_forward(layer.mlp, normed).add_(middle)
