"""A conversation -> the token ids of a prompt, by the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds, ids_around_texts

# between two texts that the template has no place of its own for
_BLANK_LINE = "\n\n"


def conversation_ids(
    tokenizer: PreTrainedTokenizerBase,
    text_tokenizer: TextTokenizer,
    messages: Sequence[Message],
) -> TokenIds:
    """Return the ids that ask the LLM for the next message of a conversation.

    Without a chat template the LLM continues the texts, separated by blank lines. Where a template
    has no system role, a system message is put before the text of the user message that follows.

    Args:
        tokenizer: for the template and its special tokens.
        text_tokenizer: for the texts, in which nothing is markup.
        messages: the messages so far, at least one.

    Returns:
        The ids of the prompt.

    Raises:
        ValueError: if there is no message, one is not a `Message`, or the template refuses the
            order of the roles.
    """
    _require_messages(messages)
    if tokenizer.chat_template is None:
        text = _BLANK_LINE.join(message.content for message in messages)
        return text_tokenizer.token_ids([text])[0]
    messages, around = _templated(tokenizer, messages)
    texts = text_tokenizer.token_ids([message.content for message in messages], bos=False)
    pairs = [ids for pair in zip(around, texts, strict=False) for ids in pair]
    return np.concatenate([*pairs, around[-1]])


def _require_messages(messages: object) -> None:
    """Raise ValueError unless it is a list of messages that is not empty."""
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ValueError(f"messages is {messages!r:.80}; expected a list of one Message or more")
    for place, message in enumerate(messages):
        if not isinstance(message, Message):
            raise ValueError(
                f"messages[{place}] is {message!r:.80} ({type(message).__name__}); expected a "
                "Message(role, content)"
            )


def _templated(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> tuple[Sequence[Message], list[TokenIds]]:
    """Return the messages as the template takes them, and the ids around their texts."""
    try:
        return messages, ids_around_texts(tokenizer, [message.role for message in messages])
    except (TemplateError, ValueError) as error:
        told = _without_system_role(messages)
        if [message.role for message in told] == [message.role for message in messages]:
            raise _refused(messages, error) from error
    try:
        return told, ids_around_texts(tokenizer, [message.role for message in told])
    except (TemplateError, ValueError) as error:
        raise _refused(told, error) from error


def _without_system_role(messages: Sequence[Message]) -> list[Message]:
    """Put each system message before the text of the user message that follows it."""
    told: list[Message] = []
    for message in messages:
        before = told[-1] if told else None
        if message.role == "user" and before is not None and before.role == "system":
            text = f"{before.content}{_BLANK_LINE}{message.content}"
            told[-1] = Message("user", text)
        elif message.role == "system" and before is not None and before.role == "system":
            told[-1] = Message("system", f"{before.content}{_BLANK_LINE}{message.content}")
        else:
            told.append(message)
    return told


def _refused(messages: Sequence[Message], error: Exception) -> ValueError:
    """Return the error of a conversation that the template has no form for."""
    roles = ", ".join(message.role for message in messages)
    return ValueError(
        f"the tokenizer's chat template refuses messages of the roles {roles}: {error}. Expected "
        "an order that it knows; most take user and assistant in turn, after one system message."
    )
