"""What is LlamaIndex's own: batches, caches of vectors, events, copies, indexes, pipelines."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import pickle
import time
from functools import partial

import numpy as np
import pytest
from child_processes import FORKED
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from watched_forwards import Gate, watch_forwards

from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "The yen is Japan's money.", "four"]


@pytest.fixture(scope="module")
def embedding(model):
    return LLM2VecGenEmbedding(model=model)


def _differ(one, other):
    return np.abs(np.subtract(one, other)).max() > 1e-4


# --- vectors


async def test_one_text_is_embedded_as_a_document(embedding, model):
    found = embedding.get_text_embedding(TEXTS[0])
    np.testing.assert_allclose(found, model.encode_document(TEXTS[0]), atol=1e-6)
    assert await embedding.aget_text_embedding(TEXTS[0]) == found


def test_batches_of_embed_batch_size_go_to_the_model_whole(model):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=4)
    with watch_forwards(model) as seen:
        vectors = embedding.get_text_embedding_batch([f"text {i}" for i in range(10)])
    assert seen.rows == [4, 4, 2]
    assert len(vectors) == 10


def test_the_default_batch_spans_more_than_the_ten_of_the_base_class(embedding, model):
    with watch_forwards(model) as seen:
        embedding.get_text_embedding_batch(["same length"] * 24)
    assert seen.rows == [24]


# --- settings


@pytest.mark.parametrize("size", [0, 2049])
def test_an_embed_batch_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match="embed_batch_size"):
        LLM2VecGenEmbedding(model_name="almanac", embed_batch_size=size)


def test_a_cache_must_be_a_key_value_store(model):
    with pytest.raises(TypeError, match="BaseKVStore"):
        LLM2VecGenEmbedding(model=model, embeddings_cache={})


def test_the_cache_cannot_be_changed(embedding):
    with pytest.raises(ValueError, match="frozen"):
        embedding.embeddings_cache = SimpleKVStore()


async def test_what_is_no_string_is_refused_before_it_reaches_the_cache(model):
    embedding = LLM2VecGenEmbedding(model=model, embeddings_cache=SimpleKVStore())
    with pytest.raises(ValueError, match=r"texts\[1\] is None .*; expected a string"):
        embedding.get_text_embedding_batch(["fine", None])
    with pytest.raises(ValueError, match=r"texts\[0\] is 3 .*; expected a string"):
        await embedding.aget_query_embedding(3)


# --- the event loop


async def test_the_event_loop_runs_on_while_one_text_is_embedded(embedding, model):
    gate = Gate()
    with watch_forwards(model, gate.wait) as seen:
        call = asyncio.ensure_future(embedding.aget_text_embedding("x"))
        while not seen.running:
            await asyncio.sleep(0.001)
        gate.open()
        await call
    assert seen.rows == [1]


@pytest.mark.parametrize("num_workers", [None, 4])
async def test_batches_started_together_run_one_at_a_time(model, num_workers):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=2, num_workers=num_workers)
    texts = [f"text {i}" for i in range(10)]
    with watch_forwards(model, partial(time.sleep, 0.02)) as seen:
        vectors = await embedding.aget_text_embedding_batch(texts)
    assert seen.rows == [2] * 5
    assert seen.most_at_once == 1
    np.testing.assert_allclose(vectors, model.encode_document(texts), atol=1e-6)


async def test_batches_cancelled_before_their_turn_never_run(model):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=1)
    gate = Gate()
    with watch_forwards(model, gate.wait) as seen:
        task = asyncio.ensure_future(embedding.aget_text_embedding_batch(["a", "b", "c", "d"]))
        while not seen.running:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        await embedding.aget_query_embedding("after")  # the worker is free again
    assert len(seen.rows) == 2


# --- the cache of vectors


def test_the_cache_tells_a_query_from_a_text(embedding, model):
    for first, second in [
        ("get_text_embedding", "get_query_embedding"),
        ("get_query_embedding", "get_text_embedding"),
    ]:
        cached = LLM2VecGenEmbedding(model=model, embeddings_cache=SimpleKVStore())
        assert getattr(cached, first)("x") == getattr(embedding, first)("x")
        assert getattr(cached, second)("x") == getattr(embedding, second)("x")


async def test_the_cache_tells_a_query_from_a_text_in_async(embedding, model):
    cached = LLM2VecGenEmbedding(model=model, embeddings_cache=SimpleKVStore())
    assert await cached.aget_text_embedding("x") == embedding.get_text_embedding("x")
    assert await cached.aget_query_embedding("x") == embedding.get_query_embedding("x")
    assert await cached.aget_text_embedding_batch(["x"]) == [embedding.get_text_embedding("x")]


def test_one_store_serves_several_models_and_settings(model, other_model):
    store = SimpleKVStore()
    text = "word " * 100
    variants = [
        {"model": model},
        {"model": other_model},
        {"model": model, "document_instruction": "Say: "},
        {"model": model, "max_length": 32},
        {"model": model, "normalize": False},
    ]
    for settings in variants:
        cached = LLM2VecGenEmbedding(**settings, embeddings_cache=store)
        assert cached.get_text_embedding(text) == LLM2VecGenEmbedding(
            **settings
        ).get_text_embedding(text)
    assert len(store.get_all("embeddings")) == len(variants)


def test_what_is_cached_is_not_embedded_again(model, tmp_path):
    store = SimpleKVStore()
    first = LLM2VecGenEmbedding(model=model, embeddings_cache=store)
    vectors = first.get_text_embedding_batch(["a", "b", "a"])
    query = first.get_query_embedding("a")
    store.persist(str(tmp_path / "vectors.json"))
    again = LLM2VecGenEmbedding(
        model=model,
        embeddings_cache=SimpleKVStore.from_persist_path(str(tmp_path / "vectors.json")),
        query_instruction="Ask: ",
        embed_batch_size=2,
    )
    with watch_forwards(model) as seen:
        assert again.get_text_embedding_batch(["a", "b", "a"]) == vectors
        assert again.get_text_embedding("b") == vectors[1]
        assert seen.rows == []
        assert _differ(again.get_query_embedding("a"), query)  # its instruction is another
        again.get_text_embedding_batch(["b", "new"])
    assert seen.rows == [1, 1]


async def test_what_is_cached_is_not_embedded_again_in_async(model):
    cached = LLM2VecGenEmbedding(model=model, embeddings_cache=SimpleKVStore())
    vectors = await cached.aget_text_embedding_batch(["a", "b", "a"])
    query = await cached.aget_query_embedding("a")
    with watch_forwards(model) as seen:
        assert await cached.aget_text_embedding_batch(["b", "a"]) == [vectors[1], vectors[0]]
        assert await cached.aget_text_embedding("b") == vectors[1]
        assert await cached.aget_query_embedding("a") == query
    assert seen.rows == []


def test_a_lone_surrogate_can_be_cached(embedding, model):
    cached = LLM2VecGenEmbedding(model=model, embeddings_cache=SimpleKVStore())
    assert cached.get_text_embedding("\ud800") == embedding.get_text_embedding("\ud800")


# --- events, limits, callbacks


class _Recorder(BaseEventHandler):
    events: list

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **kwargs):
        if isinstance(event, EmbeddingStartEvent | EmbeddingEndEvent):
            self.events.append(event)


@pytest.fixture
def recorded():
    recorder = _Recorder(events=[])
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    yield recorder.events
    dispatcher.event_handlers.remove(recorder)


async def test_events_tell_of_every_batch(model, recorded):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=2)
    vectors = embedding.get_text_embedding_batch(["a", "b", "c"])
    query = await embedding.aget_query_embedding("q")
    starts = [event for event in recorded if isinstance(event, EmbeddingStartEvent)]
    ends = [event for event in recorded if isinstance(event, EmbeddingEndEvent)]
    assert [event.chunks for event in ends] == [["a", "b"], ["c"], ["q"]]
    assert [event.embeddings for event in ends] == [vectors[:2], vectors[2:], [query]]
    assert [event.model_dict["model_name"] for event in starts] == [model.name] * 3
    assert starts[0].model_dict["class_name"] == "LLM2VecGenEmbedding"


def test_the_callback_manager_hears_of_embeddings(model):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embedding = LLM2VecGenEmbedding(model=model, callback_manager=CallbackManager([debug]))
    embedding.get_text_embedding_batch(["a", "b"])
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1


class _Counter(BaseRateLimiter):
    def __init__(self):
        self.acquired = 0

    def acquire(self, num_tokens=0):
        self.acquired += 1

    async def async_acquire(self, num_tokens=0):
        self.acquired += 1


@pytest.mark.parametrize("cache", [None, SimpleKVStore()])
async def test_the_rate_limiter_is_asked_for_every_batch(model, cache):
    limiter = _Counter()
    embedding = LLM2VecGenEmbedding(
        model=model, rate_limiter=limiter, embed_batch_size=2, embeddings_cache=cache
    )
    embedding.get_text_embedding_batch(["a", "b", "c"])
    await embedding.aget_text_embedding_batch(["d", "e", "f"])
    embedding.get_query_embedding("q")
    await embedding.aget_text_embedding("t")
    assert limiter.acquired == 6


# --- saved settings and copies


def test_a_saved_dict_names_the_class_and_leaves_the_cache_out(qwen3):
    embedding = LLM2VecGenEmbedding(**qwen3.settings, embeddings_cache=SimpleKVStore())
    saved = json.loads(embedding.to_json())
    assert saved == embedding.to_dict()
    assert saved["class_name"] == "LLM2VecGenEmbedding"
    again = LLM2VecGenEmbedding.from_dict(saved)
    assert again.to_dict() == saved
    assert again.get_text_embedding("x") == embedding.get_text_embedding("x")


def test_how_the_work_is_done_is_not_saved(model):
    other = LLM2VecGenEmbedding(
        model=model, embed_batch_size=3, batch_size=2, num_workers=2, rate_limiter=_Counter()
    )
    assert other.to_dict() == LLM2VecGenEmbedding(model=model).to_dict()


def test_a_pickled_copy_keeps_its_batch_size_and_workers(qwen3):
    embedding = LLM2VecGenEmbedding(
        **qwen3.settings, embed_batch_size=7, num_workers=2, embeddings_cache=SimpleKVStore()
    )
    again = pickle.loads(pickle.dumps(embedding))
    assert again.model is None
    assert (again.embed_batch_size, again.num_workers) == (7, 2)
    assert again.to_dict() == embedding.to_dict()
    assert again.get_text_embedding("x") == embedding.get_text_embedding("x")


# --- indexes and pipelines


@pytest.mark.usefixtures("restored_settings")
async def test_settings_index_and_retriever(embedding):
    Settings.embed_model = embedding
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS if text])
    retriever = index.as_retriever(similarity_top_k=2)
    found = retriever.retrieve("money")
    assert len(found) == 2
    assert [hit.text for hit in await retriever.aretrieve("money")] == [hit.text for hit in found]
    query = embedding.get_query_embedding("money")
    texts = [text for text in TEXTS if text]
    scores = np.array(embedding.get_text_embedding_batch(texts)) @ np.array(query)
    assert [hit.text for hit in found] == [texts[i] for i in np.argsort(-scores)[:2]]


def _nodes(texts):
    return [TextNode(id_=f"node {i}", text=text) for i, text in enumerate(texts)]


def test_an_ingestion_cache_outlives_the_batch_size_but_not_the_instruction(model):
    cache = IngestionCache()

    def rows(**settings):
        embedding = LLM2VecGenEmbedding(model=model, **settings)
        with watch_forwards(model) as seen:
            IngestionPipeline(transformations=[embedding], cache=cache).run(
                nodes=_nodes(["a", "b"])
            )
        return sum(seen.rows)

    assert rows() == 2
    assert rows() == 0
    assert rows(embed_batch_size=1, batch_size=1) == 0
    assert rows(document_instruction="Say: ") == 2


def test_one_changed_node_is_embedded_alone_with_a_cache_of_vectors(model):
    cache, vectors = IngestionCache(), SimpleKVStore()
    embedding = LLM2VecGenEmbedding(model=model, embeddings_cache=vectors)
    pipeline = IngestionPipeline(transformations=[embedding], cache=cache)
    pipeline.run(nodes=_nodes(["a", "b", "c"]))
    with watch_forwards(model) as seen:
        nodes = pipeline.run(nodes=_nodes(["a", "changed", "c"]))
    assert seen.rows == [1]
    expected = LLM2VecGenEmbedding(model=model).get_text_embedding_batch(["a", "changed", "c"])
    np.testing.assert_allclose([node.embedding for node in nodes], expected, atol=1e-6)


async def test_an_async_pipeline(embedding):
    nodes = await IngestionPipeline(transformations=[embedding]).arun(nodes=_nodes(TEXTS))
    vectors = embedding.get_text_embedding_batch(TEXTS)
    assert [node.embedding for node in nodes] == vectors


def test_a_pipeline_over_two_processes(qwen3, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: FORKED)  # starts at once
    embedding = LLM2VecGenEmbedding(**qwen3.settings)
    pipeline = IngestionPipeline(transformations=[embedding])
    nodes = pipeline.run(nodes=_nodes(["a", "b", "c"]), num_workers=2)
    assert [node.text for node in nodes] == ["a", "b", "c"]
    expected = embedding.get_text_embedding_batch(["a", "b", "c"])
    np.testing.assert_allclose([node.embedding for node in nodes], expected, rtol=0, atol=1e-5)
