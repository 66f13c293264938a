"""The frozen LLM's layers on a CPU, under gradient, with little kept for the way back.

Gradient has to come through the layers, and to none of their weights. So a matrix product has
nothing to keep; what came out of it is kept, and what stands between two products is computed again
on the way back: norms, rotation, shares of attention, the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.facts import padding_is_inert
from llm2vec_gen_rag.cpu.buffers import leave, take
from llm2vec_gen_rag.cpu.forward import Prefix, has_known_layers, root_mean_square_norm
from llm2vec_gen_rag.cpu.layer_backward import (
    Kept,
    Surroundings,
    fill,
    kept_matrices,
    layer_gradient,
    norm_gradient,
    product,
)


def runs_under_gradient(backbone: PreTrainedModel) -> bool:
    """Return whether `last_states` computes what the LLM's own forward does.

    That its layers attend to all before them, and not back a window, is for the caller to see to.
    """
    if not (has_known_layers(backbone) and backbone.config.hidden_act == "silu"):
        return False
    model: Any = backbone.base_model
    return all(
        type(matrix) is nn.Linear
        for layer in model.layers
        for matrix in (*kept_matrices(layer), layer.self_attn.o_proj, layer.mlp.down_proj)
    )


@dataclass(frozen=True)
class TextsBefore:
    """What stands in front of the input embeddings, and was read without gradient.

    Attributes:
        prefix: what the LLM keeps of each text, padded on the right.
        lengths: tokens of each text, (batch,); the rest is padding.
    """

    prefix: Prefix
    lengths: Tensor


def replaces_own_forward(backbone: PreTrainedModel) -> bool:
    """Return whether `last_states` can stand for the LLM's own forward."""
    return padding_is_inert(backbone) and runs_under_gradient(backbone)


def last_states(
    backbone: PreTrainedModel,
    inputs: Tensor,
    *,
    before: TextsBefore | None = None,
    recomputed: bool = False,
) -> Tensor:
    """Return the last hidden states, (batch, tokens, hidden).

    Args:
        backbone: an LLM that `runs_under_gradient`, none of whose weights requires gradient.
        inputs: (batch, tokens, hidden) input embeddings, padded on the right.
        before: what stands in front of them, if anything does.
        recomputed: whether a layer keeps its input alone, and is computed again on the way back;
            the way back can then be gone once.
    """
    model: Any = backbone.base_model
    before = _nothing(model, len(inputs)) if before is None else before
    wanted = torch.is_grad_enabled() and inputs.requires_grad
    layout = _layout(model, inputs, recomputed or not wanted)
    # what no way back gives up is not taken from the steps
    memory = take(model, layout.size) if wanted else torch.empty(layout.size, dtype=torch.uint8)
    around = _surroundings(model, inputs, before)
    states: Tensor = _Layers.apply(inputs, memory, model, layout, around)  # type: ignore[no-untyped-call]
    return states


class _Layers(torch.autograd.Function):
    """All layers and the last norm. Under autocast the products are in its dtype, no states are."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        memory: Tensor,
        model: Any,
        layout: _Layout,
        around: Sequence[Surroundings],
    ) -> Tensor:
        known = [part for layer in around for part in layer.before]
        ctx.save_for_backward(memory, around[0].hidden, *around[0].rotary, *known)
        ctx.model, ctx.layout = model, layout
        states = layout.states(memory)
        states[0] = inputs
        with torch.autocast("cpu", enabled=False):
            for index, layer in enumerate(model.layers):
                kept = layout.kept(memory, index)
                gated = fill(layer, kept, around[index])
                fed_forward = product(layer.mlp.down_proj, gated).view_as(inputs)
                torch.add(kept.middle, fed_forward, out=states[index + 1])
            return root_mean_square_norm(model.norm, states[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        memory, hidden, cos, sin, *known = ctx.saved_tensors
        model, layout = ctx.model, ctx.layout
        before = zip(known[::2], known[1::2], strict=True)
        around = [Surroundings((cos, sin), hidden, front) for front in before]
        with torch.autocast("cpu", enabled=False):
            gradient = norm_gradient(model.norm, layout.states(memory)[-1], gradient)
            for index in reversed(range(layout.layers)):
                layer, kept = model.layers[index], layout.kept(memory, index)
                if layout.rooms < layout.layers:
                    fill(layer, kept, around[index])
                gradient = layer_gradient(layer, kept, around[index], gradient)
        leave(model, memory)
        return gradient, None, None, None, None


def _surroundings(model: Any, inputs: Tensor, before: TextsBefore) -> list[Surroundings]:
    """Return what each layer's attention depends on beside its states."""
    dtype, steps = _product_dtype(model), torch.arange(inputs.shape[1])
    starts = before.lengths[:, None]
    cos, sin = (part.to(dtype) for part in model.rotary_emb(inputs, starts + steps))
    padding = torch.arange(before.prefix.tokens) >= starts[:, None]
    sizes = len(starts), len(steps), -1
    behind = steps > steps[:, None]
    hidden = torch.cat([padding.expand(sizes), behind.expand(sizes)], dim=2)
    return [
        Surroundings((cos, sin), hidden, (keys.to(dtype), values.to(dtype)))
        for keys, values in before.prefix.layers
    ]


def _nothing(model: Any, batch: int) -> TextsBefore:
    """Return texts without tokens."""
    attention = model.layers[0].self_attn
    heads = attention.k_proj.out_features // attention.head_dim
    none = torch.empty(batch, heads, 0, attention.head_dim)
    return TextsBefore(Prefix(0, [(none, none)] * len(model.layers)), torch.tensor([0]))


@dataclass(frozen=True)
class _Layout:
    """Where in a step's memory lies what its layers keep.

    Attributes:
        shape: of states, (batch, tokens, hidden).
        dtype: of states.
        product_dtype: of what matrices make of them.
        widths: of the products that are kept.
        layers: how many there are; the states in front of each are kept.
        rooms: how many layers keep the rest; one, if all use the same room in turn.
    """

    shape: torch.Size
    dtype: torch.dtype
    product_dtype: torch.dtype
    widths: Sequence[int]
    layers: int
    rooms: int

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(self._parts())

    def states(self, memory: Tensor) -> Tensor:
        """Return the states in front of each layer and behind the last, (layers + 1, *shape)."""
        return memory[: self._parts()[0]].view(self.dtype).view(-1, *self.shape)

    def kept(self, memory: Tensor, index: int) -> Kept:
        """Return what a layer keeps."""
        _, middles, products = memory[: self.size].split(self._parts())
        rows, room = self.shape[:2].numel(), index % self.rooms
        by_room = products.view(self.product_dtype).view(self.rooms, -1)
        parts = by_room[room].split([rows * width for width in self.widths])
        return Kept(
            self.states(memory)[index],
            middles.view(self.dtype).view(-1, *self.shape)[room],
            *(part.view(rows, -1) for part in parts),
        )

    def _parts(self) -> list[int]:
        """Return the bytes of all states, of all middle states, and of all products."""
        rows, states = self.shape[:2].numel(), self.shape.numel() * self.dtype.itemsize
        products = rows * sum(self.widths) * self.product_dtype.itemsize
        return [(self.layers + 1) * states, self.rooms * states, self.rooms * products]


def _layout(model: Any, inputs: Tensor, recomputed: bool) -> _Layout:
    """Return where a step with these input embeddings keeps what."""
    return _Layout(
        shape=inputs.shape,
        dtype=inputs.dtype,
        product_dtype=_product_dtype(model),
        widths=[matrix.out_features for matrix in kept_matrices(model.layers[0])],
        layers=len(model.layers),
        rooms=1 if recomputed else len(model.layers),
    )


def _product_dtype(model: Any) -> torch.dtype:
    """Return the dtype of what the LLM's matrices make."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    dtype: torch.dtype = kept_matrices(model.layers[0])[0].weight.dtype
    return dtype
