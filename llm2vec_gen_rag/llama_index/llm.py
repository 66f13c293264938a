"""The resident LLM as a LlamaIndex `LLM`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from llama_index.core.llms import LLM
except ModuleNotFoundError as missing:
    raise MissingExtraError("llama-index", "llama_index") from missing

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import ConfigDict

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.frameworks.answering import AnsweringAdapter

if TYPE_CHECKING:
    from llm2vec_gen_rag.answering.stream import AnswerStream


class LLM2VecGenLLM(AnsweringAdapter, LLM):
    """Answer with the LLM that embeds: one copy of the weights for a whole query engine.

    Messages go into the tokenizer's chat template, with thinking off; a prompt is one user message.
    Without a template, as with the almanac, `metadata.is_chat_model` is false, and the LLM
    continues the prompt, or the messages' texts separated by blank lines. Decoding is greedy unless
    `temperature` is above 0. Embedding and answering take turns token by token, so that neither
    threads nor event loops wait for a slow reader; an async stream that is left is cancelled. Text
    only: tools, images and other roles are refused.

    Example:
        >>> from llm2vec_gen_rag import LLM2VecGen
        >>> from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding, LLM2VecGenLLM
        >>> model = LLM2VecGen.from_pretrained("almanac")
        >>> embed_model, llm = LLM2VecGenEmbedding(model=model), LLM2VecGenLLM(model=model)
        >>> llm.complete("what money is used where the Eiffel Tower stands?").text
        'The currency of France is the euro.'
    """

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex writes to events."""
        return "LLM2VecGenLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans its prompts by."""
        model = self._resident()
        window = model.context_window
        stated: dict[str, Any] = {} if window is None else {"context_window": window}
        return LLMMetadata(
            num_output=self.max_new_tokens,
            is_chat_model=model.tokenizer.chat_template is not None,
            model_name=model.name,
            **stated,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the LLM's answer to a conversation.

        Args:
            messages: the conversation, text only.
            **kwargs: settings of this call: max_new_tokens, temperature, top_p, seed, stop.

        Returns:
            The answer; `raw` has the counts of tokens and the reason of the end.

        Raises:
            ValueError: if a message is of another role or kind, an option is unknown, or the LLM
                has no room for prompt and answer.
        """
        stream = self._answer(read_messages(messages), kwargs)
        text = "".join(self._pieces(stream))
        return _chat_response(text, None, stream)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Return the answer as it is written; see `chat`."""
        stream = self._answer(read_messages(messages), kwargs)
        grown = _grown(self._pieces(stream))
        return (_chat_response(text, piece, stream) for text, piece in grown)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return what `chat` returns, off the event loop."""
        stream = await self._aanswer(read_messages(messages), kwargs)
        text = "".join([piece async for piece in self._apieces(stream)])
        return _chat_response(text, None, stream)

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Return what `stream_chat` returns, off the event loop."""
        stream = await self._aanswer(read_messages(messages), kwargs)
        grown = _agrown(self._apieces(stream))
        return (_chat_response(text, piece, stream) async for text, piece in grown)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the LLM's answer to a prompt.

        Args:
            prompt: one user message.
            formatted: whether the prompt is what the LLM is to continue; only without a template.
            **kwargs: see `chat`.

        Returns:
            The answer; `raw` has the counts of tokens and the reason of the end.

        Raises:
            ValueError: see `chat`.
        """
        stream = self._answer(self._asked(prompt, formatted), kwargs)
        text = "".join(self._pieces(stream))
        return _completion_response(text, None, stream)

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Return the answer as it is written; see `complete`."""
        stream = self._answer(self._asked(prompt, formatted), kwargs)
        grown = _grown(self._pieces(stream))
        return (_completion_response(text, piece, stream) for text, piece in grown)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Return what `complete` returns, off the event loop."""
        stream = await self._aanswer(self._asked(prompt, formatted), kwargs)
        text = "".join([piece async for piece in self._apieces(stream)])
        return _completion_response(text, None, stream)

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Return what `stream_complete` returns, off the event loop."""
        stream = await self._aanswer(self._asked(prompt, formatted), kwargs)
        grown = _agrown(self._apieces(stream))
        return (_completion_response(text, piece, stream) async for text, piece in grown)

    def _asked(self, prompt: str, formatted: bool) -> list[Message]:
        """Return a prompt as a conversation."""
        if formatted and self._resident().tokenizer.chat_template is not None:
            raise ValueError(
                "got formatted=True, and the tokenizer's chat template is what formats; expected a "
                "prompt without markup. Leave formatted out, or pass messages to chat."
            )
        return [Message("user", prompt)]


def read_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return LlamaIndex's messages as the LLM reads them.

    Args:
        messages: of the user, the assistant and the system.

    Returns:
        One message each.

    Raises:
        ValueError: if a message is of another role, or holds anything but text.
    """
    return [Message(_role(message), _text(message)) for message in messages]


def _role(message: ChatMessage) -> Any:
    """Return the role of a message; `Message` refuses those that it does not know."""
    if message.additional_kwargs.get("tool_calls"):
        raise ValueError(
            "a ChatMessage has tool calls, and the LLM knows no tools; expected text alone"
        )
    return MessageRole(message.role).value


def _text(message: ChatMessage) -> str:
    """Return the text of a message, a line break between its blocks as in LlamaIndex."""
    for block in message.blocks:
        if not isinstance(block, TextBlock):
            raise ValueError(
                f"a {MessageRole(message.role).value} message has a {type(block).__name__}; "
                "expected text, as the LLM reads nothing else"
            )
    return message.content or ""


def _grown(pieces: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the text so far with each piece, and once more when all tokens are counted."""
    text = ""
    for piece in pieces:
        text += piece
        yield text, piece
    yield text, ""


async def _agrown(pieces: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Do what `_grown` does."""
    text = ""
    async for piece in pieces:
        text += piece
        yield text, piece
    yield text, ""


def _chat_response(text: str, piece: str | None, stream: AnswerStream) -> ChatResponse:
    """Return an answer, or as much of it as is written."""
    message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
    return ChatResponse(message=message, delta=piece, raw=_raw(stream))


def _completion_response(text: str, piece: str | None, stream: AnswerStream) -> CompletionResponse:
    """Return an answer, or as much of it as is written."""
    return CompletionResponse(text=text, delta=piece, raw=_raw(stream))


def _raw(stream: AnswerStream) -> dict[str, Any]:
    """Return the tokens so far, where LlamaIndex's own counters look for them."""
    asked, written = stream.prompt_tokens, stream.written_tokens
    counts = {"prompt_tokens": asked, "completion_tokens": written}
    return {
        "usage": {**counts, "total_tokens": asked + written},
        "finish_reason": stream.finish_reason,
    }
