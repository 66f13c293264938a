"""Single rows through the matrices of an LLM on a CPU, as decoding asks for them.

Every weight is read from memory for one multiplication, so the reading is all that it costs. For
bfloat16, oneDNN's kernels reach about half of the memory's rate there; torch's own, which it takes
when oneDNN is off, nearly all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@contextmanager
def quick_single_rows(inputs: Tensor, *, int8: bool) -> Iterator[None]:
    """Return a block inside which inputs (batch, tokens, hidden) meet the fastest matrix kernels.

    Off for the block and in the whole process is oneDNN, if the inputs are one row of bfloat16 on a
    CPU: other threads that compute at the same time are slower for it, and come to the same. It
    stays on for layers in 8 bits, which torch's own kernels multiply several times as slowly.
    """
    one_row = inputs.shape[0] * inputs.shape[1] == 1
    on_cpu = inputs.device.type == "cpu"
    if int8 or not (one_row and on_cpu and inputs.dtype == torch.bfloat16):
        yield
        return
    was_enabled = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.set_flags(False)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(was_enabled)


@contextmanager
def logits_without_copies(backbone: PreTrainedModel) -> Iterator[None]:
    """Return a block inside which the logits of one position of many cost no copy of the matrix.

    `transformers` cuts the position out of all states; torch does not see that what is left is one
    row a text, and copies the largest matrix of the LLM to multiply it in batches.
    """
    head = backbone.get_output_embeddings()
    hook = head.register_forward_pre_hook(_with_plain_strides)
    try:
        yield
    finally:
        hook.remove()


def _with_plain_strides(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # one position passes for contiguous whatever its strides, which `contiguous()` leaves alone
    return (inputs[0].clone(memory_format=torch.contiguous_format), *inputs[1:])
