"""A loaded model that answers in streams; `LLM2VecGen` adds embedding and decoding."""

from __future__ import annotations

from collections.abc import Sequence

from llm2vec_gen_rag.answering.conversation import conversation_ids
from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.answering.sampling import GREEDY, Sampling
from llm2vec_gen_rag.answering.stream import AnswerStream
from llm2vec_gen_rag.arguments import as_texts, require_positive, require_string, writing_room
from llm2vec_gen_rag.backbone.facts import context_window
from llm2vec_gen_rag.loading import LoadedModel
from llm2vec_gen_rag.text_tokenizer import TokenIds, answer_prompts


class AnsweringModel(LoadedModel):
    """The resident LLM, which answers without response tokens and low-rank updates."""

    @property
    def context_window(self) -> int | None:
        """The tokens of prompt and answer together that the LLM was made for; None if unstated."""
        return context_window(self.backbone)

    def stream(
        self,
        text: str,
        *,
        instruction: str = "",
        max_new_tokens: int = 64,
        max_length: int = 512,
        stop: Sequence[str] = (),
        sampling: Sampling = GREEDY,
    ) -> AnswerStream:
        """Return what `answer` writes, piece by piece while it is written.

        Between two tokens the model is free for any other thread. Without `stop` and `sampling` the
        pieces joined are the answer. `close()` ends the stream early and frees its memory.

        Args:
            text: see `answer`.
            instruction: see `answer`.
            max_new_tokens: see `answer`.
            max_length: see `answer`.
            stop: strings that end the answer; neither they nor what follows is shown.
            sampling: how the next token is chosen; greedily unless told otherwise.

        Returns:
            An iterator of strings, none empty; no character is ever cut in two.

        Raises:
            ValueError: see `answer`; also if `stop` is not a list of strings, or one is empty.
        """
        if not isinstance(text, str):
            raise ValueError(
                f"text is {text!r:.80} ({type(text).__name__}); expected a string. A conversation "
                "goes to stream_chat."
            )
        prompts, most = self._answer_prompts(text, instruction, max_length, max_new_tokens)
        return AnswerStream(self, prompts[0], max_new_tokens=most, stop=stop, sampling=sampling)

    def stream_chat(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        sampling: Sampling = GREEDY,
    ) -> AnswerStream:
        """Return the LLM's next message in a conversation, piece by piece while it is written.

        The conversation is put into the tokenizer's chat template, with thinking off, and nothing
        of it is cut. Without a template, the LLM continues the texts, separated by blank lines.
        Where a template has no system role, a system message is put before the text of the user
        message that follows.

        Args:
            messages: the messages so far.
            max_new_tokens: the most tokens to write.
            stop: see `stream`.
            sampling: see `stream`.

        Returns:
            See `stream`.

        Raises:
            ValueError: if an argument is not as described, the template refuses the order of the
                roles, or prompt and answer together have no room in `context_window`.
        """
        require_positive("max_new_tokens", max_new_tokens)
        prompt = conversation_ids(self.tokenizer, self.text_tokenizer, messages)
        window = self.context_window
        if window is not None and len(prompt) + max_new_tokens > window:
            raise ValueError(
                f"the prompt has {len(prompt)} tokens and max_new_tokens is {max_new_tokens}; the "
                f"LLM has {window} positions for both. Shorten the messages, such as by fewer or "
                "shorter documents, or pass a smaller max_new_tokens."
            )
        return AnswerStream(
            self, prompt, max_new_tokens=max_new_tokens, stop=stop, sampling=sampling
        )

    def _answer_prompts(
        self, texts: str | Sequence[str], instruction: str, max_length: int, max_new_tokens: int
    ) -> tuple[list[TokenIds], int]:
        """Return the prompt that asks each text, and how many tokens there is room to write."""
        require_positive("max_new_tokens", max_new_tokens)
        require_positive("max_length", max_length)
        require_string("instruction", instruction)
        max_new_tokens, room = writing_room(max_new_tokens, self.positions)
        prompts = answer_prompts(
            self.tokenizer,
            self.text_tokenizer,
            [f"{instruction}{text}" for text in as_texts(texts)],
            max_length=max_length,
            room=room,
        )
        return prompts, max_new_tokens
