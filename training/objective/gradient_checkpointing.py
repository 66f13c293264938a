"""Gradient checkpointing: layers forget what they computed, and compute it again on the way back.

`transformers` has a switch for it, which works in training mode alone; a frozen LLM stays in
evaluation mode, so that nothing drops out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def recomputed_layers(
    backbone: nn.Module, again: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[None]:
    """Let the forwards inside the block keep the inputs of each layer alone.

    They must not use a key-value cache, into which a layer would write twice.

    Args:
        backbone: the LLM.
        again: makes the block inside which a layer is computed again: the backward pass, in which
            that happens, lies outside of every block that the forward lay in.

    Raises:
        ValueError: if the LLM has no layer that can be recomputed.
    """
    layers = [
        layer for layer in backbone.modules() if isinstance(layer, GradientCheckpointingLayer)
    ]
    if not layers:
        raise ValueError(
            f"a {type(backbone).__name__} has no layers that `transformers` can recompute; set "
            "gradient_checkpointing to false"
        )
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = partial(
            checkpoint,
            layer.forward,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), again()),
        )
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward
