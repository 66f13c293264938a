"""The states of the response tokens behind questions, for a training step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from llm2vec_gen_rag.cpu.backward import TextsBefore, last_states, replaces_own_forward
from llm2vec_gen_rag.cpu.forward import read_prefix
from llm2vec_gen_rag.encoder import (
    last_hidden_states,
    lora_active,
    padded,
    response_embeddings,
)
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.text_tokenizer import TokenIds
from llm2vec_gen_rag.training.objective.gradient_checkpointing import recomputed_layers


def response_states(
    model: LLM2VecGen, questions: Sequence[TokenIds], *, recomputed: bool = False
) -> Tensor:
    """Return the last hidden states of the last K response tokens, (batch, K, hidden).

    A question is read without gradient, which flows through the response tokens behind it; with
    LoRA through the question, too.

    Args:
        model: the model in training.
        questions: token ids of each, of any lengths, zero included.
        recomputed: whether layers are computed again on the way back, where they are known and on a
            CPU, or have LoRA; other layers keep what they compute.
    """
    if model.adapter is not None:
        again = partial(lora_active, model)
        with recomputed_layers(model.backbone, again) if recomputed else nullcontext():
            return last_hidden_states(model, questions)
    if replaces_own_forward(model.backbone):
        return _behind_questions(model, questions, recomputed)
    return last_hidden_states(model, questions)


def _behind_questions(model: LLM2VecGen, questions: Sequence[TokenIds], recomputed: bool) -> Tensor:
    """Run the questions without gradient, then the response tokens behind them."""
    response = response_embeddings(model)
    ids, lengths = padded(questions, response.device)
    before = None
    if ids.shape[1]:
        with torch.no_grad():
            before = TextsBefore(read_prefix(model.backbone, ids), lengths)
    inputs = response.expand(len(ids), -1, -1)
    states = last_states(model.backbone, inputs, before=before, recomputed=recomputed)
    return states[:, -model.compression_tokens :]
