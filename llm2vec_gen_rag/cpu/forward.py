"""A CPU forward pass of the frozen LLM that skips hidden states that are never used.

The layers are those of `transformers`, run one by one with the modules they consist of. Compared
with the LLM's own forward, three things are left out: padding, as texts are packed for everything
but attention; the tokens that every text begins with, once their keys and values are cached; and,
in the last layer, all states but those that are read. The vectors are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm2vec_gen_rag.cpu.attention import causal_attention
from llm2vec_gen_rag.cpu.layer import (
    KeysValues,
    LayerContext,
    feed_forward,
    keys_values_of,
    rms_norm,
    rotary_of,
    scaled_queries,
)
from llm2vec_gen_rag.cpu.packing import Packing
from llm2vec_gen_rag.cpu.supported import has_supported_layers


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


class Forward:
    """The layers of one frozen LLM, run without gradient; made by `forward_for`.

    Attributes:
        dtype: of the LLM's weights.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        """Take a supported LLM."""
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
            layers.append(_keys_values(layer.self_attn, normed, context, None))
            if layer is not model.layers[-1]:  # the output of the last layer is unused
                states = _layer_output(layer, states, normed, layers[-1], context)
        return Prefix(tokens, layers)

    def states(
        self, inputs: Tensor, packing: Packing, read_rows: Tensor, prefix: Prefix | None
    ) -> Tensor:
        """Return last hidden states of some rows.

        Args:
            inputs: (rows, hidden) input embeddings, packed.
            packing: which of them belong to which text.
            read_rows: (batch, K), the rows to read, ascending in each text.
            prefix: the KV cache of what precedes every text; None if nothing does.

        Returns:
            (batch, K, hidden).
        """
        model, start = self._model, 0 if prefix is None else prefix.tokens
        rotary = rotary_of(model, inputs, start + packing.positions)
        context = LayerContext(packing, rotary, torch.arange(start, start + packing.width))
        states = inputs
        for index, layer in enumerate(model.layers):
            normed = rms_norm(layer.input_layernorm, states)
            before = None if prefix is None else prefix.layers[index]
            keys_values = _keys_values(layer.self_attn, normed, context, before)
            if layer is model.layers[-1]:
                rows = read_rows.flatten()
                states, normed = states[rows], normed[rows]
                context = LayerContext(
                    Packing([read_rows.shape[1]] * len(read_rows)),
                    (rotary[0][rows], rotary[1][rows]),
                    start + packing.positions[read_rows],
                )
            states = _layer_output(layer, states, normed, keys_values, context)
        output: Tensor = model.norm(context.packing.pad(states))
        return output


def forward_for(backbone: PreTrainedModel) -> Forward | None:
    """Return the forward without gradient for this LLM; None where its own has to run.

    Its own runs on another device, with layers of another form, and where another attention than
    "sdpa" was asked for.
    """
    supported = has_supported_layers(backbone) and backbone.config._attn_implementation == "sdpa"
    return Forward(backbone) if supported else None


def _keys_values(
    attention: Any, normed: Tensor, context: LayerContext, prefix: KeysValues | None
) -> KeysValues:
    """Return keys and values of normed states (rows, hidden), those of the prefix first."""
    products = attention.k_proj(normed), attention.v_proj(normed)
    return keys_values_of(attention, *products, context, prefix)


def _layer_output(
    layer: Any, states: Tensor, normed: Tensor, keys_values: KeysValues, context: LayerContext
) -> Tensor:
    """Return the output (rows, hidden) of a layer for its input states (rows, hidden)."""
    attention = layer.self_attn
    queries = scaled_queries(attention, attention.q_proj(normed), context)
    attended = causal_attention(queries, *keys_values, context.positions)
    middle = attention.o_proj(context.packing.unpad(attended)).add_(states)
    normed = rms_norm(layer.post_attention_layernorm, middle)
    return feed_forward(layer.mlp, normed).add_(middle)
