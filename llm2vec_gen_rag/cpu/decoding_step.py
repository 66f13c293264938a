"""Decoding by the LLM's own forward, with the faster kernels for single rows on a CPU.

Each weight is read from memory for a single multiplication, so reading is all that a step costs.
For one row of bfloat16, torch's own kernel, which it takes when oneDNN is off, reads at twice the
rate of oneDNN's on some processors and more slowly on others, so it is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.faster_way import FasterWay, Way
from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.backbone.process_settings import ChangedSettings


class DecodingStep(Protocol):
    """One forward, for the logits of the last position."""

    def __call__(self, inputs: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Any:
        """Run the forward.

        Args:
            inputs: (batch, tokens, hidden) input embeddings.
            mask: (batch, cached + tokens), 0 at padding.
            positions: (batch, tokens).
            cache: the KV cache of what precedes the inputs; None at the first step.

        Returns:
            The output of `transformers`: logits (batch, 1, vocabulary) and the KV cache.
        """


@contextmanager
def decoding(backbone: PreTrainedModel) -> Iterator[DecodingStep]:
    """Yield the forward of one decoding step, for an LLM on any device."""
    has_int8 = has_int8_layers(backbone)

    def step(inputs: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Any:
        # torch's own kernels multiply int8 layers several times as slowly as oneDNN
        with nullcontext() if has_int8 else _fast_single_row(inputs):
            return backbone(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,  # the logits of a whole prompt would be larger than its states
            )

    with _contiguous_logit_inputs(backbone):
        yield step


def _fast_single_row(inputs: Tensor) -> AbstractContextManager[None]:
    """Return a block with oneDNN disabled for one bfloat16 row on a CPU, where that is faster."""
    one_row = inputs.shape[0] * inputs.shape[1] == 1
    if one_row and inputs.device.type == "cpu" and inputs.dtype == torch.bfloat16:
        return _without_onednn if ROW_WITHOUT_ONEDNN.is_faster() else nullcontext()
    return nullcontext()


def _disable_onednn(undo: ExitStack) -> None:
    """Disable oneDNN for all threads: others run slower meanwhile."""
    onednn: Any = torch.backends.mkldnn  # its `set_flags` would reset the precision, too
    undo.callback(setattr, onednn, "enabled", onednn.enabled)
    onednn.enabled = False


_without_onednn = ChangedSettings(_disable_onednn)


def _one_row() -> tuple[Way, Way]:
    """Return both ways to multiply a row with a matrix too large for a core's own caches."""
    row, matrix = (torch.ones(rows, 1024, dtype=torch.bfloat16) for rows in (1, 2**14))
    with_onednn = partial(F.linear, row, matrix)

    def without() -> Tensor:
        with _without_onednn:
            return with_onednn()

    return without, with_onednn


ROW_WITHOUT_ONEDNN = FasterWay("one row of bfloat16 without oneDNN", _one_row)


@contextmanager
def _contiguous_logit_inputs(backbone: PreTrainedModel) -> Iterator[None]:
    """Avoid, inside the block, a copy of the output matrix for the logits of one position of many.

    `transformers` slices the position out of all states; torch does not see that one row a text is
    left, and copies the largest matrix of the LLM to multiply it in batches.
    """
    head = backbone.get_output_embeddings()
    hook = head.register_forward_pre_hook(_with_plain_strides)
    try:
        yield
    finally:
        hook.remove()


def _with_plain_strides(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # one position counts as contiguous whatever its strides, so `contiguous()` would keep them
    return (inputs[0].clone(memory_format=torch.contiguous_format), *inputs[1:])
