"""Low-rank updates of the frozen LLM that can be switched on and off.

A checkpoint trained with LoRA adds B A x * scaling to some linear layers (arXiv 2106.09685, eq. 3)
while it embeds. Decoding and answering use the plain LLM. One resident copy serves both, so the
updates are forward hooks, switched on inside `active()` only. The base weights are never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from llm2vec_gen_rag.errors import SizeMismatchError


@dataclass(frozen=True)
class LowRankUpdate:
    """The update of one linear layer.

    Attributes:
        down: A, (rank, in).
        up: B, (out, rank).
        scaling: the factor of their product.
    """

    down: nn.Parameter
    up: nn.Parameter
    scaling: float

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the update (..., out) of inputs (..., in), in the dtype of the weights."""
        low = F.linear(inputs.to(self.down.dtype), self.down)
        return F.linear(low, self.up) * self.scaling

    def add_to(self, output: Tensor, inputs: Tensor) -> None:
        """Add the update of inputs (..., in) to an output (..., out) in place, without gradient.

        For an output in bfloat16 it is computed in bfloat16: float32 would be no nearer to what an
        LLM in float32 computes, as the output is rounded, and takes several times as long.
        """
        dtype = torch.bfloat16 if output.dtype == torch.bfloat16 else self.down.dtype
        down, up = self.down.to(dtype), self.up.to(dtype)
        low = F.linear(inputs.to(dtype), down)
        if output.dtype != dtype:
            output.add_(F.linear(low, up), alpha=self.scaling)
            return
        out, rank = up.shape
        # product, factor and sum in one pass over the output
        output.view(-1, out).addmm_(low.view(-1, rank), up.t(), alpha=self.scaling)


class LowRankAdapter:
    """All low-rank updates of a checkpoint, as hooks on the layers of its backbone.

    Attributes:
        updates: update by the layer's path inside the backbone.
        dropout: dropout probability of each update's inputs; above 0 only in training.
    """

    def __init__(self, backbone: nn.Module, updates: Mapping[str, LowRankUpdate]) -> None:
        """Register a hook for each update on its layer, switched off.

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
            backbone.get_submodule(path).register_forward_hook(LowRankHook(self, update))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Add the updates to every forward inside the block; callers hold the model's lock."""
        before = self._enabled
        self._enabled = True
        try:
            yield
        finally:
            self._enabled = before

    def switch_off(self) -> None:
        """End the block of a thread that did not survive a fork."""
        self._enabled = False

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield every A and B."""
        for update in self.updates.values():
            yield update.down
            yield update.up

    @property
    def enabled(self) -> bool:
        """Whether forwards add the updates now."""
        return self._enabled


@dataclass(frozen=True)
class LowRankHook:
    """Adds an update to what its layer computes, while the adapter is on.

    Attributes:
        adapter: decides whether it is on.
        update: of the layer.
    """

    adapter: LowRankAdapter
    update: LowRankUpdate

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """Change the output in place; under gradient, return another one."""
        if not self.adapter.enabled:
            return None
        if not torch.is_grad_enabled():
            self.update.add_to(output, inputs[0])
            return None
        dropout = self.adapter.dropout
        seen = F.dropout(inputs[0], dropout) if dropout else inputs[0]
        return output + self.update(seen).to(output.dtype)


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
