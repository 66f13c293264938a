"""The resident LLM in LlamaIndex: chat and complete, their streams and twins, and metadata."""

from __future__ import annotations

import asyncio
import doctest
import gc
import sys

import pytest
from chat_templates import CHATML
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, ImageBlock, MessageRole

from llm2vec_gen_rag.answering.messages import Message
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding, LLM2VecGenLLM

PROMPT = "The yen is Japan's money."
ASKED = [ChatMessage(PROMPT)]


@pytest.fixture
def llm(model):
    return LLM2VecGenLLM(model=model, max_new_tokens=16)


@pytest.fixture
def answer(model):
    return model.answer(PROMPT, max_new_tokens=16)


async def test_every_way_of_asking_gives_the_models_own_answer(llm, answer):
    assert llm.complete(PROMPT).text == answer
    assert (await llm.acomplete(PROMPT)).text == answer
    assert llm.chat(ASKED).message.content == answer
    assert (await llm.achat(ASKED)).message.content == answer
    assert llm.chat(ASKED).message.role == MessageRole.ASSISTANT


async def test_streams_give_pieces_and_the_text_so_far(llm, answer):
    completions = list(llm.stream_complete(PROMPT))
    completions_async = [told async for told in await llm.astream_complete(PROMPT)]
    chats = list(llm.stream_chat(ASKED))
    chats_async = [told async for told in await llm.astream_chat(ASKED)]
    for told in (completions, completions_async, chats, chats_async):
        assert "".join(each.delta for each in told) == answer
        assert len(told) > 4
    assert completions[-1].text == completions_async[-1].text == answer
    assert chats[-1].message.content == chats_async[-1].message.content == answer
    assert chats[0].message.content == chats[0].delta


def test_metadata(llm, model, monkeypatch):
    told = llm.metadata
    assert (told.context_window, told.num_output) == (1024, 16)
    assert told.model_name == model.name
    assert not told.is_chat_model
    assert not told.is_function_calling_model
    monkeypatch.setattr(model.tokenizer, "chat_template", CHATML)
    assert llm.metadata.is_chat_model


def test_messages_go_into_the_chat_template(llm, model, monkeypatch):
    monkeypatch.setattr(model.tokenizer, "chat_template", CHATML)
    told = [Message("system", "Be brief."), Message("user", "Hi")]
    expected = "".join(model.stream_chat(told, max_new_tokens=16))
    asked = [ChatMessage("Be brief.", role="system"), ChatMessage("Hi")]
    assert llm.chat(asked).message.content == expected
    assert LLM2VecGenLLM(model=model, system_prompt="Be brief.", max_new_tokens=16).chat(
        asked[1:]
    ) != llm.chat(asked)
    with pytest.raises(ValueError, match="got formatted=True, and the tokenizer's chat template"):
        llm.complete(PROMPT, formatted=True)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (ChatMessage("x", role="tool"), "the role of a message is 'tool'"),
        (ChatMessage("x", role="developer"), "the role of a message is 'developer'"),
        (ChatMessage([ImageBlock(image=b"AA==")]), "a user message has a ImageBlock; expected"),
        (ChatMessage("", role="assistant", additional_kwargs={"tool_calls": [1]}), "tool calls"),
    ],
)
async def test_what_the_llm_cannot_read_is_refused_by_name(llm, message, says):
    with pytest.raises(ValueError, match=says):
        llm.chat([message])
    with pytest.raises(ValueError, match=says):
        await llm.astream_chat([message])


def test_options_of_a_call_replace_the_settings(llm, answer):
    word = answer[5:9]
    assert llm.complete(PROMPT, stop=[word]).text == answer[: answer.index(word)]
    assert llm.complete(PROMPT, max_tokens=3).raw["usage"]["completion_tokens"] == 3
    with pytest.raises(ValueError, match="got tools, which the LLM does not take"):
        llm.complete(PROMPT, tools=[])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "almanac"}, "model is a str; expected a loaded LLM2VecGen"),
        ({"maxtokens": 3}, "maxtokens"),
    ],
)
def test_wrong_settings_are_refused(model, settings, says):
    with pytest.raises(ValueError, match=says):
        LLM2VecGenLLM(**{"model": model, **settings})


def test_llama_index_counts_the_tokens(model):
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = LLM2VecGenLLM(model=model, max_new_tokens=7, callback_manager=CallbackManager([counter]))
    llm.chat(ASKED)
    assert [told.raw["finish_reason"] for told in llm.stream_chat(ASKED)][-1] == "length"
    assert counter.completion_llm_token_count == 14
    assert counter.prompt_llm_token_count == 2 * len(model.text_tokenizer.token_ids([PROMPT])[0])


async def test_a_stream_that_is_left_frees_its_memory(llm, continuations):
    stream = llm.stream_complete(PROMPT)
    next(stream)
    stream.close()
    astream = await llm.astream_chat(ASKED)
    await anext(astream)
    await astream.aclose()
    del astream
    gc.collect()
    await asyncio.sleep(0.05)
    assert len(continuations) == 2
    assert [held() for held in continuations] == [None, None]


@pytest.mark.usefixtures("restored_settings")
def test_a_query_engine_retrieves_and_answers_with_one_model(model, llm):
    Settings.embed_model = LLM2VecGenEmbedding(model=model)
    index = VectorStoreIndex.from_documents([Document(text="Gold is Au."), Document(text=PROMPT)])
    told = index.as_query_engine(llm=llm, similarity_top_k=1).query("what money?")
    streamed = index.as_query_engine(llm=llm, similarity_top_k=1, streaming=True).query(
        "what money?"
    )
    assert str(told) == "".join(streamed.response_gen)
    assert told.source_nodes


def test_the_example_of_the_docstring():
    result = doctest.testmod(sys.modules[LLM2VecGenLLM.__module__])
    assert result.attempted >= 4
    assert result.failed == 0
