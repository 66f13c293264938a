"""An answer as it is written: the model is held for one token at a time, never for a slow reader.

Between two tokens any other thread may embed, decode or answer. What the stream keeps is the KV
cache of its own prompt and answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from transformers import PreTrainedTokenizerBase
from typing_extensions import Self

from llm2vec_gen_rag.answering.sampling import GREEDY, Sampling, TokenChoice
from llm2vec_gen_rag.answering.written_text import WrittenText
from llm2vec_gen_rag.backbone.facts import end_token_ids
from llm2vec_gen_rag.backbone.forwards import Locked, one_forward
from llm2vec_gen_rag.decoder import Continuation, left_padded_embeddings
from llm2vec_gen_rag.text_tokenizer import TokenIds

FinishReason = Literal["stop", "length"]


class _Answering(Locked, Protocol):
    """A model whose forwards take turns, and its tokenizer."""

    tokenizer: PreTrainedTokenizerBase


class AnswerStream(Iterator[str]):
    """The pieces of an answer, which joined are the answer. Closing it frees its KV cache.

    Several threads may read one stream: each piece goes to one of them.

    Attributes:
        prompt_tokens: how many tokens the LLM was asked with.
        finish_reason: "stop" after an end token or a stop word, "length" after `max_new_tokens`;
            None while it is being written, and if it was closed before its end.
    """

    def __init__(
        self,
        model: _Answering,
        prompt: TokenIds,
        *,
        max_new_tokens: int,
        stop: Sequence[str] = (),
        sampling: Sampling = GREEDY,
    ) -> None:
        """Begin an answer; the prompt is read when the first piece is asked for.

        Args:
            model: the model; its response tokens and low-rank updates play no part.
            prompt: ids of the prompt; after an empty one, nothing is written.
            max_new_tokens: the most tokens to write.
            stop: strings that end the answer; neither they nor what follows is shown.
            sampling: how the next token is chosen.

        Raises:
            ValueError: if `stop` is not a list of strings, or one is empty.
        """
        self._model = model
        self._prompt = prompt
        self._most = max_new_tokens
        self._ends = end_token_ids(model.backbone)
        self._text = WrittenText(model.tokenizer, self._ends, stop)
        self._choose = TokenChoice(sampling, model.response_tokens.device)
        self._written: list[int] = []
        self._continuation: Continuation | None = None
        self._open = len(prompt) > 0
        self.prompt_tokens = len(prompt)
        self.finish_reason: FinishReason | None = None if self._open else "stop"

    @property
    def written_tokens(self) -> int:
        """How many tokens the LLM has written, an end token and those of a stop word included."""
        return len(self._written)

    def __next__(self) -> str:
        while (piece := self.advance()) is not None:
            if piece:
                return piece
        raise StopIteration

    def advance(self) -> str | None:
        """Write one token.

        Returns:
            The text that has become certain, which may be empty; None once there is no more.

        Raises:
            NonFiniteError: if the LLM computes NaN or infinity; the stream is closed.
        """
        if self._has_ended():
            return None
        # all forwards are counted with the first, which reads the prompt
        first = self._continuation is None
        forwards, read = (self._most, self.prompt_tokens) if first else (0, 0)
        with one_forward(self._model, tokens=1, forwards=forwards, read=read, writes=True):
            if self._has_ended():  # finished or closed while this thread waited
                return None
            try:
                return self._after(self._next_token())
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the answer and free its KV cache; a token that is being written is the last."""
        self._open = False
        self._continuation = None

    def _has_ended(self) -> bool:
        return not self._open

    def _next_token(self) -> int:
        """Return the id that the LLM writes next."""
        backbone = self._model.backbone
        continuation = self._continuation
        if continuation is None:
            inputs, mask = left_padded_embeddings(backbone, [self._prompt])
            continuation = Continuation(backbone, inputs, mask)
        token = self._choose(continuation.logits())
        continuation.append(token, [0])
        # closed by another thread meanwhile, its KV cache is not kept
        self._continuation = continuation if self._open else None
        return int(token)

    def _after(self, token: int) -> str:
        """Take a token; return the text that has become certain."""
        self._written.append(token)
        ended, full = token in self._ends, len(self._written) == self._most
        piece = self._text.grown(self._written, finished=ended or full)
        if ended or full or self._text.stopped:
            self.finish_reason = "stop" if ended or self._text.stopped else "length"
            self.close()
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
