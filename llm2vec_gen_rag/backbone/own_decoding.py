"""Decoding by the LLM's own forward, on any device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.backbone.products import fast_row


class OwnDecoding:
    """What the LLM reads next of each text, and the KV cache of what it has read."""

    def __init__(self, backbone: PreTrainedModel, prompts: Tensor, mask: Tensor) -> None:
        """Begin before the first token.

        Args:
            backbone: the causal LM.
            prompts: (batch, tokens, hidden) input embeddings.
            mask: (batch, tokens), 0 where a prompt is padded, on the left.
        """
        self._backbone = backbone
        self._has_int8 = has_int8_layers(backbone)
        self._mask = mask
        self._positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        self._inputs = prompts
        self._cache: Any = None

    def logits(self) -> Tensor:
        """Read the inputs; return the logits of the next token, (batch, vocabulary)."""
        fast = fast_row(self._inputs, int8=self._has_int8)
        with fast, _contiguous_logit_inputs(self._backbone):
            output = self._backbone(
                inputs_embeds=self._inputs,
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,  # the logits of a whole prompt would be larger than its states
            )
        self._cache = output.past_key_values
        return cast("Tensor", output.logits[:, -1])

    def append(self, inputs: Tensor, unfinished: Sequence[int]) -> None:
        """Go on with some of the texts, each with its next token.

        Args:
            inputs: (unfinished, hidden) input embeddings.
            unfinished: the indices of the texts to keep, in order.
        """
        if len(unfinished) < len(self._mask):
            self._cache.batch_select_indices(torch.tensor(unfinished, device=inputs.device))
        self._inputs = inputs[:, None]
        mask = self._mask[unfinished]
        self._mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        self._positions = self._positions[unfinished, -1:] + 1


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
