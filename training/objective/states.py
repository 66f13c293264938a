"""The hidden states that a training step needs, with gradient where something is trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from torch import Tensor
from transformers import PreTrainedModel

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone.own_forward import own_states
from llm2vec_gen_rag.encoder import last_hidden_states, lora_active
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.text_tokenizer import TokenIds
from llm2vec_gen_rag.training.objective.gradient_checkpointing import recomputed_layers


def response_token_states(
    model: LLM2VecGen, questions: Sequence[TokenIds], *, gradient_checkpointing: bool = False
) -> Tensor:
    """Return the last hidden states of the last K response tokens, (batch, K, hidden).

    A question is read without gradient, which reaches the response tokens that follow it; with LoRA
    it reaches the question, too.

    Args:
        model: the model in training.
        questions: token ids of each, of any lengths, zero included.
        gradient_checkpointing: whether layers are computed again in the backward pass, where they
            have LoRA or are written out in `cpu`; other layers save what they compute.

    Returns:
        The states, in the dtype of the backbone.
    """
    if model.adapter is not None and gradient_checkpointing:
        with recomputed_layers(model.backbone, partial(lora_active, model)):
            return last_hidden_states(model, questions)
    return last_hidden_states(model, questions, gradient_checkpointing=gradient_checkpointing)


def backbone_states(
    backbone: PreTrainedModel, inputs: Tensor, *, gradient_checkpointing: bool
) -> Tensor:
    """Return the last hidden states (batch, tokens, hidden) of input embeddings, with gradient."""
    forward = cpu.gradient_forward_for(backbone)
    if forward is not None:
        return forward.states(inputs, gradient_checkpointing=gradient_checkpointing)
    with recomputed_layers(backbone) if gradient_checkpointing else nullcontext():
        return own_states(backbone, inputs)
