"""Computing by torch's own defaults, whatever the caller has set.

A program that trains or serves a model of its own may have switched on autocast, inference mode,
another default device or less exact products around a call. None of them changes a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from llm2vec_gen_rag.backbone.process_settings import torch_defaults_of_process

_CPU = torch.device("cpu")


@contextmanager
def torch_defaults(device_type: str = "cpu") -> Iterator[None]:
    """Switch off, inside the block, what the caller has set for computations of its own.

    That is autocast, inference mode (its tensors could not be kept for a later call), a default
    device other than the CPU, and settings of the process by which float32 products are less exact
    or attention has no kernel. Each is set only where it differs: the check takes microseconds, a
    default device slows down every operation.

    Args:
        device_type: where the block computes, such as "cuda"; the CPU always counts, too.

    Yields:
        Nothing.
    """
    with torch_defaults_of_process, ExitStack() as stack:
        for kind in {"cpu", device_type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if torch.get_default_device() != _CPU:
            stack.enter_context(_CPU)
        yield
