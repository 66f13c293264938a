"""The LLM's own forward, on any device, for its last hidden states."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel


def own_states(backbone: PreTrainedModel, inputs: Tensor) -> Tensor:
    """Return the last hidden states of input embeddings, both (batch, tokens, hidden).

    Rows are padded on the right. The LLM is causal, so nothing attends to the padding that follows
    it, and no attention mask is needed.
    """
    states: Tensor = backbone.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    return states


def own_states_after_text(
    backbone: PreTrainedModel, ids: Tensor, lengths: Tensor, inputs: Tensor
) -> Tensor:
    """Return the last hidden states of inputs that follow a text, which is read without gradient.

    Args:
        backbone: an LLM with full attention.
        ids: (batch, text tokens), padded on the right.
        lengths: (batch,), the tokens of each text.
        inputs: (batch, tokens, hidden) input embeddings.

    Returns:
        (batch, tokens, hidden).
    """
    cache = None
    if ids.shape[1]:
        with torch.no_grad():
            cache = backbone.base_model(ids, use_cache=True).past_key_values
    real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    output = backbone.base_model(
        inputs_embeds=inputs,
        attention_mask=torch.cat([real, real.new_ones(inputs.shape[:2])], dim=1).long(),
        position_ids=lengths[:, None] + torch.arange(inputs.shape[1], device=ids.device),
        past_key_values=cache,
        use_cache=cache is not None,
    )
    states: Tensor = output.last_hidden_state
    return states
