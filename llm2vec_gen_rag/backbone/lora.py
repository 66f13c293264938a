"""Low-rank updates of the frozen LLM that can be switched on and off.

A checkpoint trained with LoRA adds B A x * scaling to some linear layers (arXiv 2106.09685, eq. 3)
while it embeds. Decoding and answering are the plain LLM's: one resident copy serves both, so the
updates hang on it as hooks and are on inside `active()` alone. The base weights are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from llm2vec_gen_rag.errors import SizeMismatchError

# the layers that the reference package updates
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class LowRankUpdate:
    """The update of one linear layer.

    Attributes:
        down: A, (rank, in).
        up: B, (out, rank).
        scaling: what their product is multiplied with.
    """

    down: nn.Parameter
    up: nn.Parameter
    scaling: float

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the update (..., out) of inputs (..., in), in the dtype of the weights."""
        low = F.linear(inputs.to(self.down.dtype), self.down)
        return F.linear(low, self.up) * self.scaling


class LowRankAdapter:
    """All low-rank updates of a checkpoint, hung on the layers of its backbone.

    Attributes:
        updates: update by the layer's path inside the backbone.
        dropout: share of a layer's inputs that its update does not see; above 0 in training alone.
    """

    def __init__(self, backbone: nn.Module, updates: Mapping[str, LowRankUpdate]) -> None:
        """Hang each update on its layer, switched off.

        Args:
            backbone: the module that the paths start from.
            updates: update by path; its tensors are moved to the device of the layer.

        Raises:
            SizeMismatchError: if a layer does not exist or is of another size.
        """
        self._enabled = False
        self.dropout = 0.0
        self.updates = {path: _fit(backbone, path, update) for path, update in updates.items()}
        for path, update in self.updates.items():
            backbone.get_submodule(path).register_forward_hook(self._hook(update))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Add the updates to every forward inside the block; callers hold the model's lock."""
        before = self._enabled
        self._enabled = True
        try:
            yield
        finally:
            self._enabled = before

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield every A and B."""
        for update in self.updates.values():
            yield update.down
            yield update.up

    def _hook(self, update: LowRankUpdate) -> Any:
        def add_update(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not self._enabled:
                return None
            seen = F.dropout(inputs[0], self.dropout) if self.dropout else inputs[0]
            return output + update(seen).to(output.dtype)

        return add_update


def fresh_updates(
    backbone: nn.Module, *, rank: int, alpha: float, generator: torch.Generator
) -> dict[str, LowRankUpdate]:
    """Return untrained updates of a backbone, which change nothing yet: B is zero.

    Args:
        backbone: the LLM without its output layer.
        rank: columns of every B.
        alpha: their product is multiplied with alpha / rank.
        generator: draws every A, uniform as `nn.Linear` draws its weights.

    Raises:
        ValueError: if the backbone has none of the `TARGETS`.
    """
    updates = {}
    for path, layer in backbone.named_modules():
        if isinstance(layer, nn.Linear) and path.rpartition(".")[2] in TARGETS:
            bound = 1 / math.sqrt(layer.in_features)
            down = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            up = torch.zeros(layer.out_features, rank)
            updates[path] = LowRankUpdate(nn.Parameter(down), nn.Parameter(up), alpha / rank)
    if not updates:
        raise ValueError(
            f"a {type(backbone).__name__} has no linear layer named {', '.join(TARGETS)}, which "
            "LoRA updates; train without it: lora_rank 0"
        )
    return updates


def _fit(backbone: nn.Module, path: str, update: LowRankUpdate) -> LowRankUpdate:
    """Return the update on the device of its layer, once their sizes agree."""
    try:
        layer = backbone.get_submodule(path)
    except AttributeError as error:
        raise SizeMismatchError(
            f"the checkpoint has a LoRA update for the layer {path!r}, which the base model does "
            "not have. Pass base_model= with the LLM that the checkpoint was trained on."
        ) from error
    found = (update.down.shape[1], update.up.shape[0])
    sizes = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    if found != sizes or update.down.shape[0] != update.up.shape[1]:
        raise SizeMismatchError(
            f"the LoRA update of {path!r} is {found[0]} -> {found[1]} (A {tuple(update.down.shape)}"
            f", B {tuple(update.up.shape)}) and the base model's layer is {sizes[0]} -> {sizes[1]}."
            " Pass base_model= with the LLM that the checkpoint was trained on."
        )
    device = next(layer.parameters()).device
    down, up = (nn.Parameter(p.detach().to(device), False) for p in (update.down, update.up))
    return LowRankUpdate(down, up, update.scaling)
