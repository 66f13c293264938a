"""Decoding by the layers written out here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.backbone.linear import linear
from llm2vec_gen_rag.backbone.products import fast_row
from llm2vec_gen_rag.cpu.forward import Forward, forward_for
from llm2vec_gen_rag.cpu.kv_cache import KVCache
from llm2vec_gen_rag.cpu.packing import Packing, packing_of_few_sizes


class Decoding:
    """What the LLM reads next of each text, and the KV cache of what it has read."""

    def __init__(
        self, backbone: PreTrainedModel, forward: Forward, prompts: Tensor, mask: Tensor
    ) -> None:
        """Begin before the first token.

        Args:
            backbone: the causal LM.
            forward: its layers.
            prompts: (batch, tokens, hidden) input embeddings.
            mask: (batch, tokens), 0 where a prompt is padded, on either side; of each prompt, one
                token is not.
        """
        self._forward, self._head = forward, backbone.get_output_embeddings()
        self._has_int8 = has_int8_layers(backbone)
        self._lengths = mask.sum(dim=1)
        self._packing = packing_of_few_sizes(self._lengths.tolist())
        packed = prompts[mask.bool()]
        self._inputs = F.pad(packed, (0, 0, 0, self._packing.rows - len(packed)))
        self._cache = KVCache(len(prompts))

    def logits(self) -> Tensor:
        """Read the inputs; return the logits of the next token, (batch, vocabulary)."""
        last = self._lengths.cumsum(dim=0)[:, None] - 1
        with fast_row(self._inputs, int8=self._has_int8):
            states = self._forward.states(self._inputs, self._packing, last, self._cache)
            self._cache.advance(self._lengths)
            return linear(self._head, states[:, 0])

    def append(self, inputs: Tensor, unfinished: Sequence[int]) -> None:
        """Go on with some of the texts, each with its next token.

        Args:
            inputs: (unfinished, hidden) input embeddings.
            unfinished: the indices of the texts to keep, in order.
        """
        if len(unfinished) < len(self._lengths):
            self._cache.keep(torch.tensor(unfinished))
        if self._packing.rows != len(unfinished) or self._packing.width > 1:
            self._packing = Packing([1] * len(unfinished))
            self._lengths = torch.ones(len(unfinished), dtype=torch.long)
        self._inputs = inputs


def decoding_for(backbone: PreTrainedModel, prompts: Tensor, mask: Tensor) -> Decoding | None:
    """Return the decoding written out here for this LLM; None where its own has to run.

    Args:
        backbone: the causal LM.
        prompts: see `Decoding`.
        mask: see `Decoding`.

    Returns:
        One that has read nothing yet.
    """
    forward = forward_for(backbone)
    return None if forward is None else Decoding(backbone, forward, prompts, mask)
