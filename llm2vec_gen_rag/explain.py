"""Explain an embedding: what it decodes to, token by token, and how near a document is."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llm2vec_gen_rag.arguments import require_positive, require_string, text_room
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.encoder import (
    last_hidden_states,
    require_finite_states,
    soft_prompts,
    tokens_of,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen


@dataclass(frozen=True)
class NearToken:
    """A token of the vocabulary near a soft prompt.

    Attributes:
        text: the token as text, spaces included.
        probability: its share of the softmax over the whole vocabulary: small for every token, as a
            soft prompt is made to be read by the LLM, not by its output layer.
        log_ratio: the logarithm of its probability over that of the nearest token, which has 0.
    """

    text: str
    probability: float
    log_ratio: float


@dataclass(frozen=True)
class Reading:
    """What the embedding of one text says.

    Attributes:
        text: the text.
        says: what the LLM writes given the soft prompts: see `LLM2VecGen.decode`.
        tokens: for each of the K response tokens that are read, the vocabulary tokens nearest to
            it, nearest first: see `logit_lens`.
    """

    text: str
    says: str
    tokens: tuple[tuple[NearToken, ...], ...]


@dataclass(frozen=True)
class Explanation:
    """Why a document is near a query, or what a query alone asks for.

    Attributes:
        query: what the query's embedding says.
        answer: the LLM's own answer to the query: what `query.says` should be.
        document: what the document's embedding says, if there is one.
        cosine: cosine similarity of the two embeddings, if there is a document.
    """

    query: Reading
    answer: str
    document: Reading | None
    cosine: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return asdict(self)

    def as_text(self, width: int = 80) -> str:
        """Format the explanation for a person.

        Args:
            width: columns to fill, at least 60.

        Returns:
            Lines of at most `width` characters.
        """
        lines = [*_reading_lines("query", self.query, width)]
        lines[2:2] = _labelled("the LLM answers", self.answer, width)
        if self.document is not None:
            lines += ["", *_reading_lines("document", self.document, width)]
            lines += ["", f"cosine of the two embeddings: {self.cosine:.4f}"]
        return "\n".join(lines)


def explain(
    model: LLM2VecGen,
    query: str,
    document: str | None = None,
    *,
    task: str = "retrieval",
    nearest: int = 5,
    max_new_tokens: int = 64,
) -> Explanation:
    """Explain the embedding of a query, and how near that of a document is.

    Args:
        model: the model.
        query: a query; the instruction of its task precedes it.
        document: a document; the instruction of documents precedes it.
        task: a name in `model.prompts.query`.
        nearest: how many vocabulary tokens to list for each response token.
        max_new_tokens: the most tokens to write when decoding and when answering.

    Returns:
        The explanation; without a document, of the query alone.

    Raises:
        ValueError: if an argument is not as described.
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    require_string("query", query)
    require_string("document", "" if document is None else document)
    require_positive("nearest", nearest)
    instruction = model.prompts.for_query(task)

    def read(text: str, instruction: str) -> Reading:
        says = model.decode(text, instruction=instruction, max_new_tokens=max_new_tokens)
        return Reading(text, says, logit_lens(model, text, instruction=instruction, k=nearest))

    answer = model.answer(query, instruction=instruction, max_new_tokens=max_new_tokens)
    asked = read(query, instruction)
    if document is None:
        return Explanation(asked, answer, document=None, cosine=None)
    cosine = float(np.dot(model.encode_query(query, task), model.encode_document(document)))
    return Explanation(asked, answer, read(document, model.prompts.document), cosine)


def logit_lens(
    model: LLM2VecGen, text: str, *, instruction: str = "", k: int = 5, max_length: int = 512
) -> tuple[tuple[NearToken, ...], ...]:
    """Find the vocabulary tokens nearest to each soft prompt of a text.

    The states h_i (K, hidden) of the response tokens become soft prompts p_i = W_rec h_i + b_rec
    (K, hidden). The frozen LLM's own output layer is applied to these as if they were its last
    hidden states:

        softmax_v(W_head p_i)    over the vocabulary v, for each i

    This is a lens, not what the model computes: p_i enters the LLM as an input embedding. Where the
    LLM ties its two embeddings, W_head p_i is the dot product of p_i with each token's embedding.
    (`scripts/logit_lens_analysis.py` of the reference package uses h_i instead.)

    Args:
        model: the model.
        text: a query or a document.
        instruction: see `LLM2VecGen.encode`.
        k: how many tokens to return, nearest first.
        max_length: see `LLM2VecGen.encode`.

    Returns:
        K tuples of `k` tokens.

    Raises:
        ValueError: if an argument is not as described.
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    room = text_room(max_length, len(model.response_tokens), model.positions)
    ids = model.text_tokenizer.token_ids([instruction + text], max_tokens=room)
    head: Any = model.backbone.get_output_embeddings()
    with one_forward(model, tokens=tokens_of(model, ids)):
        prompts = soft_prompts(model, require_finite_states(last_hidden_states(model, ids)))[0]
        logits = head(prompts.to(head.weight.device, head.weight.dtype)).float()
    top = logits.log_softmax(dim=-1).topk(min(k, logits.shape[-1]))
    return tuple(
        tuple(
            NearToken(str(model.tokenizer.decode([token])), math.exp(value), value - values[0])
            for token, value in zip(tokens, values, strict=True)
        )
        for tokens, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )


def _reading_lines(label: str, reading: Reading, width: int) -> list[str]:
    """The text, what its embedding says, and the tokens."""
    return [
        textwrap.shorten(f"{label}: {_printable(reading.text)}", width, placeholder=" ..."),
        *_labelled("its embedding says", reading.says, width),
        "  nearest vocabulary tokens (log-probability from best):",
        *(_token_line(place, near, width) for place, near in enumerate(reading.tokens, start=1)),
    ]


def _labelled(label: str, text: str, width: int) -> list[str]:
    """A label, and a text wrapped to the right of it."""
    first = f"  {label:<20}"
    indent = " " * len(first)
    lines = textwrap.wrap(_printable(text), width - len(first), max_lines=4, placeholder=" ...")
    return [f"{indent if row else first}{line}" for row, line in enumerate(lines or ["(nothing)"])]


def _printable(text: str) -> str:
    """The text with spaces for the characters that would drive a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _token_line(place: int, near: Sequence[NearToken], width: int) -> str:
    """The tokens near one response token, each quoted so that its spaces show."""
    line = f"  {place:>4}  " + "  ".join(f"{t.text!r} {t.log_ratio:.2g}" for t in near)
    return line[:width]
