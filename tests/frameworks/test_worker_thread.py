"""Awaited, every call runs off the event loop, on the one worker thread of its model."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from watched_forwards import Gate, watch_forwards

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "four"]


async def until_running(seen):
    """Let the event loop go round until a forward is under way."""
    while not seen.running:
        await asyncio.sleep(0.001)


async def test_async_vectors_are_the_sync_ones(framework, shared_embedding):
    query = framework.query(shared_embedding, "x")
    documents = framework.documents(shared_embedding, TEXTS)
    assert await framework.aquery(shared_embedding, "x") == query
    assert await framework.adocuments(shared_embedding, TEXTS) == documents


@pytest.mark.parametrize(("side", "given"), [("aquery", "x"), ("adocuments", ["x"])])
async def test_the_event_loop_runs_on_meanwhile(framework, shared_embedding, model, side, given):
    gate = Gate()
    with watch_forwards(model, gate.wait) as seen:
        call = asyncio.ensure_future(getattr(framework, side)(shared_embedding, given))
        await until_running(seen)
        gate.open()  # had the forward blocked the loop, this line would not have been reached
        await call
    assert seen.rows == [1]


async def test_never_two_forwards_at_once_on_one_model(model):
    langchain, llama_index = LLM2VecGenEmbeddings(model=model), LLM2VecGenEmbedding(model=model)
    slowed = partial(time.sleep, 0.02)  # so that two would overlap
    with watch_forwards(model, slowed) as seen, ThreadPoolExecutor(3) as threads:
        sync = [threads.submit(langchain.embed_query, f"thread {i}") for i in range(3)]
        await asyncio.gather(
            *(langchain.aembed_query(f"query {i}") for i in range(3)),
            *(langchain.aembed_documents([f"document {i}"]) for i in range(3)),
            *(llama_index.aget_text_embedding(f"node {i}") for i in range(3)),
        )
        assert all(len(call.result()) == model.dimension for call in sync)
    assert sum(seen.rows) == 12
    assert seen.most_at_once == 1


async def test_a_call_cancelled_before_its_turn_never_runs(framework, shared_embedding, model):
    gate = Gate()
    with watch_forwards(model, gate.wait) as seen:
        first, second, third = (
            asyncio.ensure_future(framework.aquery(shared_embedding, f"query {i}"))
            for i in range(3)
        )
        await until_running(seen)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.open()
        await asyncio.gather(first, third)
    assert sum(seen.rows) == 2


async def test_an_error_on_the_worker_reaches_the_caller_and_the_next_call_works(
    framework, shared_embedding
):
    with pytest.raises(ValueError, match="None"):
        await framework.adocuments(shared_embedding, [None])
    query = framework.query(shared_embedding, "x")
    assert await framework.aquery(shared_embedding, "x") == query


def test_the_worker_ends_with_its_model(framework, qwen3):
    before = set(threading.enumerate())
    embedding = framework.adapter(**qwen3.settings)
    asyncio.run(framework.aquery(embedding, "x"))
    (worker,) = set(threading.enumerate()) - before
    model = weakref.ref(embedding.model)
    del embedding
    gc.collect()
    worker.join(timeout=60)
    assert model() is None
    assert not worker.is_alive()
