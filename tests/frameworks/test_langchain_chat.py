"""The resident LLM in LangChain: streams, messages, stop words, usage and settings."""

from __future__ import annotations

import asyncio
import copy
import doctest
import gc
import pickle
import sys
import threading

import numpy as np
import pytest
from chat_templates import CHATML
from langchain_core.caches import InMemoryCache
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.langchain import ChatLLM2VecGen, LLM2VecGenEmbeddings

ASKED = "The yen is Japan's money."
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
CALL = {"name": "add", "args": {}, "id": "1", "type": "tool_call"}


@pytest.fixture
def chat(model):
    return ChatLLM2VecGen(model=model, max_new_tokens=16)


@pytest.fixture
def answer(model):
    return model.answer(ASKED, max_new_tokens=16)


async def test_every_way_of_asking_gives_the_models_own_answer(chat, answer):
    assert chat.invoke(ASKED).content == answer
    assert (await chat.ainvoke(ASKED)).content == answer
    pieces = [chunk.content for chunk in chat.stream(ASKED)]
    assert "".join(pieces) == answer
    assert len(pieces) > 4
    assert "".join([chunk.content async for chunk in chat.astream(ASKED)]) == answer
    assert [message.content for message in chat.batch([ASKED, ASKED])] == [answer, answer]
    assert [message.content for message in await chat.abatch([ASKED] * 2)] == [answer, answer]


def test_messages_go_into_the_chat_template(chat, model, monkeypatch):
    monkeypatch.setattr(model.tokenizer, "chat_template", CHATML)
    told = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello")]
    expected = "".join(model.stream_chat([*told, Message("user", "Yen?")], max_new_tokens=16))
    text = [{"type": "text", "text": "Hello"}, ""]
    for last in (HumanMessage("Yen?"), ChatMessage(role="user", content="Yen?")):
        asked = [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage(text), last]
        assert chat.invoke(asked).content == expected


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (ToolMessage("x", tool_call_id="1"), "got a ToolMessage; expected messages of a human"),
        (FunctionMessage("x", name="f"), "got a FunctionMessage"),
        (ChatMessage("x", role="critic"), "the role of a message is 'critic'"),
        (HumanMessage([{"type": "text"}]), "a HumanMessage has content of the type 'text'"),
        (HumanMessage([{"text": "Yen?"}]), "a HumanMessage has content of the type None"),
        (HumanMessage([IMAGE]), "a HumanMessage has content of the type 'image_url'; expected"),
        (AIMessage("", tool_calls=[CALL]), "an AIMessage has tool calls"),
    ],
)
async def test_what_the_llm_cannot_read_is_refused_by_name(chat, message, says):
    with pytest.raises(ValueError, match=says):
        chat.invoke([HumanMessage("Hi"), message])
    with pytest.raises(ValueError, match=says):
        await chat.ainvoke([HumanMessage("Hi"), message])


def test_a_stop_word_is_never_shown(chat, model, answer):
    word = answer[5:9]
    cut = answer[: answer.index(word)]
    stopping = ChatLLM2VecGen(model=model, max_new_tokens=16, stop=[word])
    for told in (chat.invoke(ASKED, stop=[word]), stopping.invoke(ASKED)):
        assert told.content == cut
        assert told.response_metadata["finish_reason"] == "stop"
    assert "".join(chunk.content for chunk in stopping.stream(ASKED)) == cut
    assert stopping.invoke(ASKED, stop=["never written"]).content == answer


def test_tokens_are_counted(chat, model):
    message = chat.invoke(ASKED)
    asked = len(model.text_tokenizer.token_ids([ASKED])[0])
    expected = {"input_tokens": asked, "output_tokens": 16, "total_tokens": asked + 16}
    assert message.usage_metadata == expected
    assert message.response_metadata == {"model_name": model.name, "finish_reason": "length"}
    assert chat.get_num_tokens(ASKED) == asked
    chunks = list(chat.stream(ASKED))
    assert chunks[-1].usage_metadata == expected
    assert all(chunk.usage_metadata is None for chunk in chunks[:-1])


def test_options_of_a_call_replace_the_settings(chat, model):
    assert chat.invoke(ASKED, max_tokens=3).usage_metadata["output_tokens"] == 3
    assert chat.bind(max_new_tokens=2).invoke(ASKED).usage_metadata["output_tokens"] == 2
    drawn = [chat.invoke(ASKED, temperature=1.0, seed=seed).content for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert ChatLLM2VecGen(model=model, max_tokens=5).max_new_tokens == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tools": []}, "got tools, which the LLM does not take; expected some of max_new_tokens"),
        ({"max_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1}, "temperature is -1"),
        ({"stop": [""]}, "strings that are not empty"),
    ],
)
def test_options_that_the_llm_does_not_take_are_refused(chat, options, says):
    with pytest.raises(ValueError, match=says):
        chat.invoke(ASKED, **options)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "almanac"}, "model is a str; expected a loaded LLM2VecGen"),
        ({}, "model"),
        ({"max_token": 3}, "max_token"),
        ({"stop": [""]}, "empty string"),
        ({"top_p": 0}, "top_p"),
    ],
)
def test_wrong_settings_are_refused(model, settings, says):
    with pytest.raises(ValueError, match=says):
        ChatLLM2VecGen(
            **({"model": model} if settings and "model" not in settings else {}), **settings
        )


def test_an_answer_that_takes_too_long_is_an_error(model):
    hasty = ChatLLM2VecGen(model=model, timeout=1e-9)
    with pytest.raises(TimeoutError, match="more than timeout=1e-09 seconds, in which 1 tokens"):
        hasty.invoke(ASKED)


def test_a_prompt_without_room_is_refused(model):
    with pytest.raises(ValueError, match="the LLM has 1024 positions for both"):
        ChatLLM2VecGen(model=model, max_new_tokens=1024).invoke(ASKED)


# --- one model, many users


def kept(continuations):
    gc.collect()
    return [held for held in continuations if held() is not None]


def test_a_stream_that_is_left_frees_its_memory(chat, continuations):
    stream = chat.stream(ASKED)
    next(stream)
    assert len(kept(continuations)) == 1
    stream.close()
    assert kept(continuations) == []


async def test_an_async_stream_that_is_left_or_cancelled_is_ended(chat, model, continuations):
    stream = chat.astream(ASKED)
    await anext(stream)
    await stream.aclose()
    task = asyncio.ensure_future(chat.ainvoke(ASKED, max_tokens=900))
    while len(continuations) < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    model.encode("waits for the token that was being written")
    await asyncio.sleep(0.05)
    assert kept(continuations) == []


async def test_the_event_loop_is_free_while_the_llm_answers(chat, model):
    vectors = LLM2VecGenEmbeddings(model=model)
    expected = model.encode_query(ASKED)
    answers = asyncio.gather(*(chat.ainvoke(ASKED) for _ in range(3)))
    turns = 0
    while not answers.done():
        np.testing.assert_array_equal(await vectors.aembed_query(ASKED), expected)
        turns += 1
    assert turns > 3
    assert len({message.content for message in await answers}) == 1


def test_two_event_loops_share_the_model(chat, answer):
    told = []

    def ask():
        told.append(asyncio.run(chat.ainvoke(ASKED)).content)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [answer, answer]


# --- LangChain around it


def test_a_chain_retrieves_and_answers_with_one_model(chat, model):
    store = InMemoryVectorStore.from_texts(
        ["Gold is Au.", ASKED], LLM2VecGenEmbeddings(model=model)
    )
    prompt = ChatPromptTemplate([("system", "Use: {context}"), ("human", "{question}")])
    chain = (
        {"context": store.as_retriever(), "question": RunnablePassthrough()}
        | prompt
        | chat
        | StrOutputParser()
    )
    assert chain.invoke("what money?") == "".join(chain.stream("what money?"))


def test_langchains_cache_tells_settings_apart(model):
    cache = InMemoryCache()
    short, long = (
        ChatLLM2VecGen(model=model, max_new_tokens=count, cache=cache) for count in (2, 4)
    )
    assert short.invoke(ASKED).content != long.invoke(ASKED).content
    assert short.invoke(ASKED).usage_metadata["output_tokens"] == 2


def test_a_copy_shares_the_model_and_a_pickle_is_refused(chat, model):
    assert copy.deepcopy(chat).model is model
    with pytest.raises(pickle.PicklingError, match="load the model there"):
        pickle.dumps(chat)


def test_the_example_of_the_docstring():
    result = doctest.testmod(sys.modules[ChatLLM2VecGen.__module__])
    assert result.attempted >= 4
    assert result.failed == 0
