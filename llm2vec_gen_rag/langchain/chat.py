"""The resident LLM as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from langchain_core.language_models import BaseChatModel, LangSmithParams
except ModuleNotFoundError as missing:
    raise MissingExtraError("langchain", "langchain_core") from missing

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, model_validator

from llm2vec_gen_rag.answering.messages import ROLES, Message
from llm2vec_gen_rag.frameworks.answering import AnsweringAdapter

if TYPE_CHECKING:
    from llm2vec_gen_rag.answering.stream import AnswerStream

_OF_SERVERS = ("api_key", "max_retries")
_STREAM = "stream"  # LangChain's own option of a call, which chooses between `_generate` and here


class ChatLLM2VecGen(AnsweringAdapter, BaseChatModel):
    """Answer with the LLM that embeds: one copy of the weights for a whole chain.

    Messages go into the tokenizer's chat template, with thinking off. Without a template, as with
    the almanac, the LLM continues their texts, separated by blank lines. Decoding is greedy unless
    `temperature` is above 0. Embedding and answering take turns token by token, so that neither
    threads nor event loops wait for a slow reader; an async stream that is left is cancelled. Text
    only: tools, images and other roles are refused. Of LangChain's standard parameters, `api_key`
    and `max_retries` are taken and dropped, as nothing is sent anywhere.

    Attributes:
        streaming: whether LangChain is to stream when it is asked for a whole answer.

    Example:
        >>> from llm2vec_gen_rag import LLM2VecGen
        >>> from llm2vec_gen_rag.langchain import ChatLLM2VecGen, LLM2VecGenEmbeddings
        >>> model = LLM2VecGen.from_pretrained("almanac")
        >>> embeddings, chat = LLM2VecGenEmbeddings(model=model), ChatLLM2VecGen(model=model)
        >>> chat.invoke("what money is used where the Eiffel Tower stands?").content
        'The currency of France is the euro.'
    """

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    streaming: bool = False

    @model_validator(mode="before")
    @classmethod
    def _drop_parameters_of_servers(cls, settings: Any) -> Any:
        """Drop what LangChain's own code passes to every chat model."""
        if not isinstance(settings, dict):
            return settings
        return {name: value for name, value in settings.items() if name not in _OF_SERVERS}

    @property
    def _llm_type(self) -> str:
        return "llm2vec-gen-rag"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._settings()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        told = super()._get_ls_params(stop=stop, **kwargs)
        told["ls_provider"] = self._llm_type
        told.setdefault("ls_model_name", self._resident().name)
        told.setdefault("ls_max_tokens", kwargs.get("max_new_tokens", self.max_new_tokens))
        if stop or self.stop:
            told["ls_stop"] = stop or self.stop
        return told

    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of a text, by the LLM's own tokenizer.

        Args:
            text: the text, in which nothing is a special token.

        Returns:
            The ids, without a BOS.
        """
        (ids,) = self._resident().text_tokenizer.token_ids([text], bos=False)
        return [int(token) for token in ids]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        stream = self._answer(read_messages(messages), _options(stop, kwargs))
        return _result("".join(self._pieces(stream)), self._told(stream), stream)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        stream = await self._aanswer(read_messages(messages), _options(stop, kwargs))
        pieces = [piece async for piece in self._apieces(stream)]
        return _result("".join(pieces), self._told(stream), stream)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        stream = self._answer(read_messages(messages), _options(stop, kwargs))
        for piece in self._pieces(stream):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        yield _last_chunk(self._told(stream), stream)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        stream = await self._aanswer(read_messages(messages), _options(stop, kwargs))
        async for piece in self._apieces(stream):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager is not None:
                await run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk
        yield _last_chunk(self._told(stream), stream)

    def _told(self, stream: AnswerStream) -> dict[str, Any]:
        """Return the metadata of a finished answer."""
        return {"model_name": self._resident().name, "finish_reason": stream.finish_reason}


def read_messages(messages: list[BaseMessage]) -> list[Message]:
    """Return LangChain's messages as the LLM reads them.

    Args:
        messages: of people, the LLM and the system; the `name` of a speaker is not read.

    Returns:
        One message each.

    Raises:
        ValueError: if a message is of a tool or another role, calls a tool, or is not text.
    """
    return [Message(_role(message), _text(message)) for message in messages]


def _role(message: BaseMessage) -> Any:
    """Return the role of a message."""
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        raise ValueError(
            "an AIMessage has tool calls, and the LLM knows no tools; expected text alone"
        )
    for kind, role in ((HumanMessage, "user"), (AIMessage, "assistant"), (SystemMessage, "system")):
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage):
        return message.role
    raise ValueError(
        f"got a {type(message).__name__}; expected messages of a human, the AI or the system, or a "
        f"ChatMessage of the role {', '.join(ROLES)}"
    )


def _text(message: BaseMessage) -> str:
    """Return the text of a message, whose content may be a list of texts."""
    parts = [message.content] if isinstance(message.content, str) else message.content
    texts = []
    for part in parts:
        if isinstance(part, dict) and _is_text(part):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise ValueError(
                f"a {type(message).__name__} has content of the type {kind!r}; expected text, as "
                "the LLM reads nothing else"
            )
    return "".join(texts)


def _is_text(part: dict[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _options(stop: list[str] | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of one call."""
    return {"stop": stop, **{name: told for name, told in options.items() if name != _STREAM}}


def _usage(stream: AnswerStream) -> UsageMetadata:
    """Return the tokens of a prompt and its answer."""
    asked, written = stream.prompt_tokens, stream.written_tokens
    return UsageMetadata(input_tokens=asked, output_tokens=written, total_tokens=asked + written)


def _result(text: str, told: dict[str, Any], stream: AnswerStream) -> ChatResult:
    """Return a whole answer."""
    message = AIMessage(content=text, usage_metadata=_usage(stream), response_metadata=told)
    return ChatResult(generations=[ChatGeneration(message=message)])


def _last_chunk(told: dict[str, Any], stream: AnswerStream) -> ChatGenerationChunk:
    """Return what follows the last piece of an answer."""
    message = AIMessageChunk(
        content="",
        usage_metadata=_usage(stream),
        response_metadata=told,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)
