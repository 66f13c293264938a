"""The words of each response token: what the LLM could write next after it."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from llm2vec_gen_rag.backbone.facts import embedding_weight
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.explain.findings import LikelyToken
from llm2vec_gen_rag.explain.states import response_states
from llm2vec_gen_rag.model import LLM2VecGen, require_model


def logit_lens(
    model: LLM2VecGen, text: str, *, instruction: str = "", k: int = 5, max_length: int = 512
) -> tuple[tuple[LikelyToken, ...], ...]:
    """Find the tokens of the vocabulary that a text makes likelier after each response token.

    The state h_i (hidden) of a response token is a last hidden state of the LLM, so its output
    layer makes a distribution of it: of the token that follows, had the LLM to write on there.

        P_i(v) = softmax_v(W_head h_i)       over the vocabulary v, for each i
        Q_i(v)                               the same of the instruction without the text

    The tokens are those with the largest P_i(v) log(P_i(v) / Q_i(v)), the summands of the
    divergence KL(P_i || Q_i): likely here, and because of the text. (By P_i alone, "." and "the"
    come first in many LLMs. `scripts/logit_lens_analysis.py` of the reference package uses P_i.)

    Args:
        model: the model.
        text: a query or a document; of an empty one, the tokens are those of the largest P_i.
        instruction: see `LLM2VecGen.encode`.
        k: how many tokens to return.
        max_length: see `LLM2VecGen.encode`.

    Returns:
        K tuples of `k` tokens, the largest summand first.

    Raises:
        ValueError: if an argument is not as described.
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    require_model(model)
    told, untold = (
        response_states(model, each, instruction=instruction, max_length=max_length)
        for each in (text, "")
    )
    return words_of_states(model, told, untold, k)


def words_of_states(
    model: LLM2VecGen, told: Tensor, untold: Tensor, k: int
) -> tuple[tuple[LikelyToken, ...], ...]:
    """Return what `logit_lens` does, of states (K, hidden) with a text and without it."""
    told, untold = (_log_probabilities(model, states) for states in (told, untold))
    log_lift = told - untold
    summands = told.exp() * log_lift
    ranked = summands if summands.any() else told
    ids = ranked.topk(min(k, ranked.shape[-1])).indices
    found = (ids, told.gather(1, ids), log_lift.gather(1, ids))
    return tuple(
        tuple(
            LikelyToken(str(model.tokenizer.decode([token])), math.exp(log_p), math.exp(lift))
            for token, log_p, lift in zip(*of_state, strict=True)
        )
        for of_state in zip(*(values.tolist() for values in found), strict=True)
    )


def _log_probabilities(model: LLM2VecGen, states: Tensor) -> Tensor:
    """Return log-probabilities (K, vocabulary), float32, of states (K, hidden)."""
    head: Any = model.backbone.get_output_embeddings()
    embedding = embedding_weight(model.backbone)  # a read of the head's own would lay it back
    with one_forward(model, tokens=len(states), forwards=0):
        logits: Tensor = head(states.to(embedding.device, embedding.dtype))
        return logits.float().log_softmax(dim=-1).cpu()
