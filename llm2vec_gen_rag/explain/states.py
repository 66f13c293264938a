"""The states of a text's response tokens, as embedding computes them."""

from __future__ import annotations

from torch import Tensor

from llm2vec_gen_rag.arguments import text_room
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.encoder import (
    last_hidden_states,
    read_prefix,
    require_finite_states,
    tokens_of,
)
from llm2vec_gen_rag.model import LLM2VecGen


def response_states(
    model: LLM2VecGen, text: str, *, instruction: str, max_length: int = 512
) -> Tensor:
    """Return the last hidden states h_1..h_K of the response tokens that are read.

    Args:
        model: the model.
        text: a query or a document.
        instruction: see `LLM2VecGen.encode`.
        max_length: see `LLM2VecGen.encode`.

    Returns:
        (K, hidden), in the dtype of the LLM.

    Raises:
        ValueError: if `max_length` leaves no room for a text.
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    room = text_room(max_length, len(model.response_tokens), model.positions)
    texts = model.text_tokenizer.tokenize([text], instruction, max_tokens=room)
    with one_forward(model, tokens=tokens_of(model, texts.rows)):
        states = last_hidden_states(model, texts.rows, read_prefix(model, texts))
        return require_finite_states(states)[0]
