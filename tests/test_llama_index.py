"""The LlamaIndex adapter: each path of the base class, caches, events, copies, pipelines."""

from __future__ import annotations

import asyncio
import doctest
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hidden_modules import import_without
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
from tiny_kit import load_tiny, tiny_kit
from watched_forwards import watch_forwards

import llm2vec_gen_rag.llama_index
from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "The yen is Japan's money.", "four"]


@pytest.fixture(scope="module")
def kit():
    return tiny_kit()


@pytest.fixture(scope="module")
def model():
    return load_tiny()


@pytest.fixture(scope="module")
def other_model():
    return load_tiny("qwen2-6-4")


@pytest.fixture(scope="module")
def embedding(model):
    return LLM2VecGenEmbedding(model=model)


def _differ(one, other):
    return np.abs(np.subtract(one, other)).max() > 1e-4


# --- vectors


def test_a_name_and_a_loaded_model_give_the_models_own_vectors(kit, model):
    for adapter in (LLM2VecGenEmbedding(**kit), LLM2VecGenEmbedding(model=model)):
        documents = adapter.get_text_embedding_batch(TEXTS)
        np.testing.assert_allclose(documents, model.encode_document(TEXTS), atol=1e-6)
        np.testing.assert_allclose(adapter.get_text_embedding(TEXTS[0]), documents[0], atol=1e-6)
        query = adapter.get_query_embedding(TEXTS[1])
        np.testing.assert_allclose(query, model.encode_query(TEXTS[1]), atol=1e-6)


async def test_async_vectors_are_the_sync_ones(embedding):
    assert await embedding.aget_query_embedding("x") == embedding.get_query_embedding("x")
    assert await embedding.aget_text_embedding("x") == embedding.get_text_embedding("x")
    sync = embedding.get_text_embedding_batch(TEXTS)
    assert await embedding.aget_text_embedding_batch(TEXTS) == sync


def test_vectors_are_lists_of_python_floats_of_length_one(embedding, model):
    vectors = [*embedding.get_text_embedding_batch(TEXTS), embedding.get_query_embedding("x")]
    assert {type(vector) for vector in vectors} == {list}
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert {len(vector) for vector in vectors} == {model.dimension}
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_queries_and_texts_have_their_own_instructions(model):
    told = LLM2VecGenEmbedding(model=model, query_instruction="Ask: ", document_instruction="Say: ")
    np.testing.assert_allclose(
        told.get_query_embedding("x"), model.encode("x", instruction="Ask: "), atol=1e-6
    )
    np.testing.assert_allclose(
        told.get_text_embedding("x"), model.encode("x", instruction="Say: "), atol=1e-6
    )


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither of model and model_name"),
        ({"model_name": "almanac", "model": "almanac"}, "both of model and model_name"),
        ({"model": "almanac"}, "model is a str; expected a loaded LLM2VecGen"),
        ({"model_name": "almanac", "embed_batchsize": 3}, "embed_batchsize"),
        ({"model_name": "almanac", "embed_batch_size": 0}, "embed_batch_size"),
        ({"model_name": "almanac", "embed_batch_size": 2049}, "embed_batch_size"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LLM2VecGenEmbedding(**settings)


def test_a_cache_must_be_a_key_value_store(model):
    with pytest.raises(TypeError, match="BaseKVStore"):
        LLM2VecGenEmbedding(model=model, embeddings_cache={})


@pytest.mark.parametrize("cache", [None, SimpleKVStore()])
async def test_what_is_no_text_is_refused_at_once(model, cache):
    embedding = LLM2VecGenEmbedding(model=model, embeddings_cache=cache)
    with pytest.raises(ValueError, match=r"texts\[1\] is None .*; expected a string"):
        embedding.get_text_embedding_batch(["fine", None])
    with pytest.raises(ValueError, match=r"texts\[0\] is 3 .*; expected a string"):
        await embedding.aget_query_embedding(3)


def test_what_describes_the_model_cannot_be_changed_under_it(model):
    embedding = LLM2VecGenEmbedding(model=model)
    for field in ("model_name", "query_instruction", "embeddings_cache"):
        with pytest.raises(ValueError, match="frozen"):
            setattr(embedding, field, "another")


# --- the event loop


async def _ticks_while(awaitable):
    """Return how often the loop came round while it awaited."""
    ticks = 0
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    await task
    return ticks


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("aget_query_embedding", "x"),
        ("aget_text_embedding", "x"),
        ("aget_text_embedding_batch", ["x"]),
    ],
)
async def test_the_event_loop_runs_on_meanwhile(embedding, model, method, argument):
    with watch_forwards(model, seconds=0.3):
        assert await _ticks_while(getattr(embedding, method)(argument)) >= 5


@pytest.mark.parametrize("num_workers", [None, 4])
async def test_batches_started_together_run_one_at_a_time(model, num_workers):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=2, num_workers=num_workers)
    texts = [f"text {i}" for i in range(10)]
    with watch_forwards(model, seconds=0.02) as seen:
        vectors = await embedding.aget_text_embedding_batch(texts)
    assert seen.rows == [2] * 5
    assert seen.most_at_once == 1
    np.testing.assert_allclose(vectors, model.encode_document(texts), atol=1e-6)


async def test_batches_cancelled_before_their_turn_never_run(model):
    embedding = LLM2VecGenEmbedding(model=model, embed_batch_size=1)
    with watch_forwards(model, seconds=0.1) as seen:
        task = asyncio.ensure_future(embedding.aget_text_embedding_batch(["a", "b", "c", "d"]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
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


# --- serialisation


def test_a_dict_round_trip_gives_the_same_vectors(kit):
    embedding = LLM2VecGenEmbedding(
        **kit, query_instruction="Ask: ", max_length=64, embeddings_cache=SimpleKVStore()
    )
    saved = json.loads(embedding.to_json())
    assert saved == embedding.to_dict()
    assert saved["class_name"] == "LLM2VecGenEmbedding"
    again = LLM2VecGenEmbedding.from_dict(saved)
    assert again.to_dict() == saved
    assert again.get_query_embedding("x") == embedding.get_query_embedding("x")
    assert again.get_text_embedding("x") == embedding.get_text_embedding("x")


def test_a_dict_of_another_checkpoint_is_refused(kit):
    saved = LLM2VecGenEmbedding(**kit).to_dict()
    with pytest.raises(CheckpointError, match="the checkpoint has changed"):
        LLM2VecGenEmbedding.from_dict({**saved, "fingerprint": "of another model"})


def test_a_dict_holds_what_decides_the_vectors_and_nothing_else(model, other_model):
    plain = LLM2VecGenEmbedding(model=model).to_dict()
    same = LLM2VecGenEmbedding(
        model=model, embed_batch_size=3, batch_size=2, num_workers=2, rate_limiter=_Counter()
    )
    assert same.to_dict() == plain
    for settings in (
        {"model": other_model},
        {"model": model, "query_instruction": "Ask: "},
        {"model": model, "document_instruction": "Say: "},
        {"model": model, "max_length": 64},
        {"model": model, "normalize": False},
    ):
        assert LLM2VecGenEmbedding(**settings).to_dict() != plain


def test_a_pickled_copy_keeps_its_settings_and_loads_its_model_later(kit):
    embedding = LLM2VecGenEmbedding(
        **kit, embed_batch_size=7, num_workers=2, embeddings_cache=SimpleKVStore()
    )
    pickled = pickle.dumps(embedding)
    again = pickle.loads(pickled)
    assert len(pickled) < 4096
    assert again.model is None
    assert (again.embed_batch_size, again.num_workers) == (7, 2)
    assert again.to_dict() == embedding.to_dict()
    assert again.get_text_embedding("x") == embedding.get_text_embedding("x")


def test_a_pickled_copy_of_a_loaded_model_loads_it_from_where_it_came(embedding):
    again = pickle.loads(pickle.dumps(embedding))
    assert again.get_text_embedding("x") == embedding.get_text_embedding("x")


# --- indexes and pipelines


@pytest.fixture
def _restore_settings():
    before = Settings._embed_model
    yield
    Settings._embed_model = before


@pytest.mark.usefixtures("_restore_settings")
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


@pytest.mark.slow
def test_a_pipeline_over_two_processes(kit, tmp_path):
    program = f"""
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

if __name__ == "__main__":
    embedding = LLM2VecGenEmbedding(**{kit!r})
    nodes = [TextNode(text=text) for text in ("a", "b", "c")]
    nodes = IngestionPipeline(transformations=[embedding]).run(nodes=nodes, num_workers=2)
    assert [node.text for node in nodes] == ["a", "b", "c"]
    for node in nodes:
        expected = embedding.get_text_embedding(node.text)
        assert max(abs(x - y) for x, y in zip(node.embedding, expected)) < 1e-5
    print("done")
"""
    script = tmp_path / "two_processes.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stderr


# --- the extra


def test_without_llama_index_the_error_names_the_extra():
    done = import_without("llama_index", "llm2vec_gen_rag.llama_index")
    assert done.stderr == ""
    assert "pip install 'llm2vec-gen-rag[llama-index]'" in done.stdout


def test_importing_the_adapter_imports_no_torch():
    program = "import sys, llm2vec_gen_rag.llama_index; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


# --- the example


@pytest.mark.usefixtures("_restore_settings")
def test_the_example_of_the_docstring():
    result = doctest.testmod(llm2vec_gen_rag.llama_index)
    assert result.attempted >= 5
    assert result.failed == 0
