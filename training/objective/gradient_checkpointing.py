"""Gradient checkpointing: layers save only their input and recompute the rest in backward.

`transformers` has a switch for it, but only in training mode. A frozen LLM stays in evaluation
mode, without dropout.
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
    """Let the forwards inside the block save only the inputs of each layer.

    They must not use a KV cache, to which a layer would append twice.

    Args:
        backbone: the LLM.
        again: makes the context in which a layer is recomputed. That happens in the backward pass,
            outside every context that the forward was in.

    Yields:
        Nothing.

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
