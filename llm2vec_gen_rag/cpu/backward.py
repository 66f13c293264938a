"""The frozen LLM's layers on a CPU as one autograd function, with few activations saved.

Gradient comes through the layers, and no weight gets one. All that a forward saves is in one
buffer, which the next step reuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from llm2vec_gen_rag.cpu.buffers import acquire, release
from llm2vec_gen_rag.cpu.forward import Forward, Prefix
from llm2vec_gen_rag.cpu.layer import KeysValues, LayerContext, input_matrices, rms_norm, rotary_of
from llm2vec_gen_rag.cpu.layer_backward import (
    SavedActivations,
    backward_layer,
    forward_layer,
    multiply,
    rms_norm_backward,
)
from llm2vec_gen_rag.cpu.packing import Packing
from llm2vec_gen_rag.cpu.supported import has_frozen_matrices, has_supported_layers


@dataclass(frozen=True)
class PaddedPrefix:
    """The KV cache of texts of different lengths.

    Attributes:
        prefix: of each text, padded on the right; keys and values of padding are arbitrary.
        lengths: (batch,), the tokens of each text.
    """

    prefix: Prefix
    lengths: Tensor


class GradientForward:
    """The layers of one frozen LLM, run under gradient; made by `gradient_forward_for`."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        """Take a supported LLM, none of whose weights requires gradient."""
        self._model: Any = backbone.base_model
        self._frozen = Forward(backbone)

    @torch.no_grad()
    def read_prefix(self, ids: Tensor, lengths: Tensor) -> PaddedPrefix:
        """Return the KV cache of texts (batch, tokens), padded on the right, without gradient."""
        return PaddedPrefix(self._frozen.read_prefix(ids), lengths)

    def states(
        self,
        inputs: Tensor,
        *,
        prefix: PaddedPrefix | None = None,
        gradient_checkpointing: bool = False,
    ) -> Tensor:
        """Return the last hidden states.

        Args:
            inputs: (batch, tokens, hidden) input embeddings, padded on the right.
            prefix: the KV cache of what precedes each row, without gradient; None if nothing does.
            gradient_checkpointing: save only each layer's input and recompute the rest in backward.
                Backward can then run only once.

        Returns:
            (batch, tokens, hidden).
        """
        model, rows = self._model, inputs.flatten(0, 1)
        needs_gradient = torch.is_grad_enabled() and inputs.requires_grad
        recompute = gradient_checkpointing or not needs_gradient
        layout = _BufferLayout.of(model, rows, recompute=recompute)
        # without a backward pass nothing would release the buffer
        buffer = (
            acquire(model, layout.size)
            if needs_gradient
            else torch.empty(layout.size, dtype=torch.uint8)
        )
        context, prefixes = _context_of(model, inputs, prefix)
        states: Tensor = _Layers.apply(rows, buffer, model, layout, context, prefixes)  # type: ignore[no-untyped-call]
        return states.view(inputs.shape)


def gradient_forward_for(backbone: PreTrainedModel) -> GradientForward | None:
    """Return the forward under gradient for this LLM; None where its own has to run.

    Its own runs on another device, with layers of another form, and where a weight of the LLM
    requires gradient. Which attention was asked for makes no difference, because training asks for
    eager attention, the faster one under gradient where the LLM's own forward runs.
    """
    supported = has_supported_layers(backbone) and has_frozen_matrices(backbone)
    return GradientForward(backbone) if supported else None


class _Layers(torch.autograd.Function):
    """All layers and the last norm on rows (rows, hidden).

    Under autocast the products are in its dtype; the states keep theirs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        buffer: Tensor,
        model: Any,
        layout: _BufferLayout,
        context: LayerContext,
        prefixes: Sequence[KeysValues | None],
    ) -> Tensor:
        keys_values = [part for prefix in prefixes if prefix is not None for part in prefix]
        ctx.save_for_backward(
            buffer, context.positions, context.padding, *context.rotary, *keys_values
        )
        ctx.model, ctx.layout, ctx.packing = model, layout, context.packing
        states = layout.states(buffer)
        states[0] = inputs
        with torch.autocast("cpu", enabled=False):
            for index, layer in enumerate(model.layers):
                saved = layout.saved(buffer, index)
                gated = forward_layer(layer, saved, context, prefixes[index])
                fed_forward = multiply(layer.mlp.down_proj, gated)
                torch.add(saved.middle, fed_forward, out=states[index + 1])
            return rms_norm(model.norm, states[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        buffer, positions, padding, cos, sin, *keys_values = ctx.saved_tensors
        model, layout = ctx.model, ctx.layout
        context = LayerContext(ctx.packing, (cos, sin), positions, padding)
        prefixes: list[KeysValues | None] = [None] * layout.layers
        prefixes[: len(keys_values) // 2] = zip(keys_values[::2], keys_values[1::2], strict=True)
        with torch.autocast("cpu", enabled=False):
            gradient = rms_norm_backward(model.norm, layout.states(buffer)[-1], gradient)
            for index in reversed(range(layout.layers)):
                layer, saved = model.layers[index], layout.saved(buffer, index)
                if layout.slots < layout.layers:
                    forward_layer(layer, saved, context, prefixes[index])
                gradient = backward_layer(layer, saved, context, prefixes[index], gradient)
        release(model, buffer)
        return gradient, None, None, None, None, None


def _context_of(
    model: Any, inputs: Tensor, padded: PaddedPrefix | None
) -> tuple[LayerContext, list[KeysValues | None]]:
    """Return what attention depends on beside the states, and the prefix of each layer."""
    batch, tokens, _ = inputs.shape
    dtype, packing = _product_dtype(model), Packing([tokens] * batch)
    positions, before, padding = packing.positions, 0, None
    prefixes: list[KeysValues | None] = [None] * len(model.layers)
    if padded is not None:
        before = padded.prefix.tokens
        keys = torch.arange(before + tokens)
        padding = (keys < before) & (keys >= padded.lengths[:, None])
        positions = positions + padded.lengths.repeat_interleave(tokens)
        prefixes = [(keys.to(dtype), values.to(dtype)) for keys, values in padded.prefix.layers]
    cos, sin = (part.to(dtype) for part in rotary_of(model, inputs, positions))
    asked = torch.arange(before, before + tokens)
    return LayerContext(packing, (cos, sin), asked, padding), prefixes


@dataclass(frozen=True)
class _BufferLayout:
    """Where in one buffer the layers save their activations.

    Attributes:
        rows: the number of tokens.
        hidden: the width of states.
        dtype: of states.
        product_dtype: of the products of matrices.
        widths: of the products that are saved.
        layers: the number of layers; the input states of each are saved.
        slots: how many layers save the rest: all, or one slot that all use in turn.
    """

    rows: int
    hidden: int
    dtype: torch.dtype
    product_dtype: torch.dtype
    widths: Sequence[int]
    layers: int
    slots: int

    @classmethod
    def of(cls, model: Any, rows: Tensor, *, recompute: bool) -> _BufferLayout:
        """Return the layout for input embeddings (rows, hidden)."""
        return cls(
            rows=len(rows),
            hidden=rows.shape[1],
            dtype=rows.dtype,
            product_dtype=_product_dtype(model),
            widths=[matrix.out_features for matrix in input_matrices(model.layers[0])],
            layers=len(model.layers),
            slots=1 if recompute else len(model.layers),
        )

    @property
    def size(self) -> int:
        """The bytes of the whole buffer."""
        return sum(self._parts())

    def states(self, buffer: Tensor) -> Tensor:
        """Return the input of each layer and the output of the last, (layers + 1, rows, hidden)."""
        return buffer[: self._parts()[0]].view(self.dtype).view(-1, self.rows, self.hidden)

    def saved(self, buffer: Tensor, index: int) -> SavedActivations:
        """Return the saved activations of a layer, as views of the buffer."""
        _, middles, products = buffer[: self.size].split(self._parts())
        slot = index % self.slots
        by_slot = products.view(self.product_dtype).view(self.slots, -1)
        parts = by_slot[slot].split([self.rows * width for width in self.widths])
        return SavedActivations(
            self.states(buffer)[index],
            middles.view(self.dtype).view(-1, self.rows, self.hidden)[slot],
            *(part.view(self.rows, -1) for part in parts),
        )

    def _parts(self) -> list[int]:
        """Return the bytes of all states, of all middle states, and of all products."""
        states = self.rows * self.hidden * self.dtype.itemsize
        products = self.rows * sum(self.widths) * self.product_dtype.itemsize
        return [(self.layers + 1) * states, self.slots * states, self.slots * products]


def _product_dtype(model: Any) -> torch.dtype:
    """Return the dtype of the products of the LLM's matrices."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    dtype: torch.dtype = input_matrices(model.layers[0])[0].weight.dtype
    return dtype
