"""Both adapters with a cache of vectors on disk, with instructions for one call, and cut texts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.storage.kvstore import SimpleKVStore
from watched_forwards import watch_forwards

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding, TruncationEvent
from llm2vec_gen_rag.vectors.cache import VectorCache

LONG = "word " * 100


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors.sqlite"


# --- the cache


async def test_what_is_cached_is_not_embedded_again_in_any_session(framework, model, path):
    first = framework.adapter(model=model, cache=path)
    vectors = framework.documents(first, ["a", "b", "a"])
    query = await framework.aquery(first, "a")
    again = framework.adapter(model=model, cache=str(path), batch_size=1)
    with watch_forwards(model) as seen:
        assert framework.documents(again, ["a", "b", "a"]) == vectors
        assert await framework.adocuments(again, ["b"]) == vectors[1:2]
        assert framework.query(again, "a") == query
        assert seen.rows == []
        framework.documents(again, ["b", "new", "new"])
    assert seen.rows == [1]


def test_cached_vectors_are_those_without_a_cache(framework, model, shared_embedding, path):
    texts = ["one", "", "one", "\ud800", "a longer text of several words"]
    cached = framework.adapter(model=model, cache=path)
    plain = framework.documents(shared_embedding, texts)
    for _ in range(2):
        np.testing.assert_allclose(framework.documents(cached, texts), plain, atol=1e-6)


def test_the_sides_are_kept_apart(framework, model, shared_embedding, path):
    cached = framework.adapter(model=model, cache=path)
    for _ in range(2):
        assert framework.query(cached, "x") == framework.query(shared_embedding, "x")
        assert framework.documents(cached, ["x"]) == framework.documents(shared_embedding, ["x"])


def test_one_file_serves_both_frameworks(model, path):
    in_langchain = LLM2VecGenEmbeddings(model=model, cache=path)
    vectors = in_langchain.embed_documents(["a", "b"])
    with watch_forwards(model) as seen:
        in_llama_index = LLM2VecGenEmbedding(model=model, cache=VectorCache(path))
        assert in_llama_index.get_text_embedding_batch(["a", "b"]) == vectors
    assert seen.rows == []


def test_one_file_serves_any_models_and_settings(model, other_model, load_kit, path):
    other_weights = load_kit("qwen3-10")
    next(other_weights.backbone.parameters()).data.flatten()[-1].add_(1)
    variants = [
        {"model": model},
        {"model": other_model},
        {"model": other_weights},
        {"model": model, "document_instruction": "Say: "},
        {"model": model, "max_length": 32},
        {"model": model, "normalize": False},
    ]
    for settings in variants:
        embedder = LLM2VecGenEmbeddings(**settings, cache=path)
        with watch_forwards(settings["model"]) as seen:
            vectors = [embedder.embed_documents([LONG]) for _ in range(2)]
        assert seen.rows == [1]
        assert vectors == [LLM2VecGenEmbeddings(**settings).embed_documents([LONG])] * 2


def test_a_pickled_copy_opens_the_same_file(framework, qwen3, path):
    embedding = framework.adapter(**qwen3.settings, cache=path)
    vectors = framework.documents(embedding, ["x"])
    again = pickle.loads(pickle.dumps(embedding))
    with watch_forwards(again.loaded_model()) as seen:
        assert framework.documents(again, ["x"]) == vectors
    assert seen.rows == []
    assert framework.saved(again) == framework.saved(embedding)
    assert "cache" not in framework.saved(embedding)


def test_a_damaged_file_is_said_once_and_changes_no_vector(framework, model, path, caplog):
    path.write_bytes(b"no database at all" * 100)
    cached = framework.adapter(model=model, cache=path)
    plain = framework.documents(framework.adapter(model=model), ["a", "b"])
    for _ in range(2):
        assert framework.documents(cached, ["a", "b"]) == plain
    assert sum("cache of vectors" in record.message for record in caplog.records) == 1


def test_what_is_no_cache_is_refused(framework, model, tmp_path):
    for given in (3, "", b"vectors.sqlite"):
        with pytest.raises(ValueError, match=r"the cache is .*; expected the path of a file"):
            framework.adapter(model=model, cache=given)
    with pytest.raises(ValueError, match="which is a folder; expected a file"):
        framework.adapter(model=model, cache=tmp_path)


async def test_what_is_no_string_is_refused_before_it_reaches_the_file(framework, model, path):
    cached = framework.adapter(model=model, cache=path)
    with pytest.raises(ValueError, match=r"texts\[1\] is None .*; expected a string"):
        framework.documents(cached, ["fine", None])
    assert not path.exists()


def test_llama_index_takes_one_of_its_two_caches(model, path):
    with pytest.raises(ValueError, match="both cache and embeddings_cache"):
        LLM2VecGenEmbedding(model=model, cache=path, embeddings_cache=SimpleKVStore())


# --- LangChain's own cache


def cached_by_langchain(embeddings, documents, queries=False):
    from langchain_classic.embeddings import CacheBackedEmbeddings

    return CacheBackedEmbeddings.from_bytes_store(
        embeddings,
        documents,
        namespace=embeddings.cache_namespace,
        query_embedding_cache=queries,
        key_encoder="sha256",
    )


def test_langchains_cache_tells_models_sides_and_instructions_apart(model, other_model, tmp_path):
    from langchain_classic.storage import LocalFileStore

    documents, queries = (LocalFileStore(tmp_path / side) for side in ("documents", "queries"))
    for settings in (
        {"model": model},
        {"model": other_model},
        {"model": model, "query_instruction": "Ask: "},
        {"model": model, "document_instruction": "Say: "},
        {"model": model, "max_length": 32},
    ):
        embeddings = LLM2VecGenEmbeddings(**settings)
        cached = cached_by_langchain(embeddings, documents, queries)
        for _ in range(2):
            assert cached.embed_query(LONG) == embeddings.embed_query(LONG)
            assert cached.embed_documents([LONG]) == embeddings.embed_documents([LONG])
    again = cached_by_langchain(LLM2VecGenEmbeddings(model=model), documents, queries)
    with watch_forwards(model) as seen:
        again.embed_query(LONG)
        again.embed_documents([LONG])
    assert seen.rows == []


# --- other instructions for one call


def test_a_copy_with_a_task_shares_the_model_and_the_cache(framework, model, path):
    embedding = framework.adapter(model=model, cache=path)
    claims = embedding.with_task("claims")
    assert claims.loaded_model() is model
    assert claims.cache is embedding.cache
    np.testing.assert_allclose(
        framework.query(claims, "x"), model.encode_query("x", "claims"), atol=1e-6
    )
    assert framework.query(embedding, "x") != framework.query(claims, "x")
    assert framework.documents(claims, ["x"]) == framework.documents(embedding, ["x"])
    with pytest.raises(ValueError, match="unknown task 'cooking'"):
        embedding.with_task("cooking")


def test_a_task_of_one_side_has_its_instruction_on_both(framework, model):
    for embedding in (
        framework.adapter(model=model, task="sts"),
        framework.adapter(model=model).with_task("sts"),
    ):
        assert [framework.query(embedding, "x")] == framework.documents(embedding, ["x"])


def test_a_copy_with_instructions(framework, model):
    embedding = framework.adapter(model=model).with_instructions(query="Ask: ", document="")
    np.testing.assert_allclose(
        framework.query(embedding, "x"), model.encode("x", instruction="Ask: "), atol=1e-6
    )
    (document,) = framework.documents(embedding, ["x"])
    np.testing.assert_allclose(document, model.encode("x"), atol=1e-6)
    with pytest.raises(ValueError, match="query_instruction is 3; expected a string"):
        embedding.with_instructions(query=3)


# --- texts that are cut


class Recorder(BaseEventHandler):
    events: list

    @classmethod
    def class_name(cls):
        return "Recorder"

    def handle(self, event, **kwargs):
        if isinstance(event, TruncationEvent):
            self.events.append((event.chunks, event.tokens, event.room))


@pytest.fixture
def recorded():
    recorder = Recorder(events=[])
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    yield recorder.events
    dispatcher.event_handlers.remove(recorder)


@pytest.mark.parametrize("cached", [False, True])
async def test_llama_index_hears_of_texts_that_are_cut(model, path, recorded, cached):
    embedding = LLM2VecGenEmbedding(model=model, max_length=32, cache=path if cached else None)
    embedding.get_text_embedding_batch(["short", LONG, "short", LONG + "!"])
    await embedding.aget_query_embedding(LONG)
    tokens = model.encode_with_lengths(
        [LONG, LONG + "!"], instruction=embedding.instruction("document")
    ).tokens
    assert recorded[0] == ([LONG, LONG + "!"], tokens.tolist(), 32 - len(model.response_tokens))
    assert [chunks for chunks, _, _ in recorded[1:]] == [[LONG]]


class Listener(BaseCallbackHandler):
    def __init__(self):
        self.heard = []

    def on_custom_event(self, name, data, **kwargs):
        self.heard.append((name, data["rows"]))


@pytest.mark.parametrize("cached", [False, True])
async def test_a_chain_of_langchain_hears_of_texts_that_are_cut(model, path, cached):
    embeddings = LLM2VecGenEmbeddings(model=model, max_length=32, cache=path if cached else None)
    listener = Listener()
    config = {"callbacks": [listener]}
    RunnableLambda(embeddings.embed_documents).invoke(["short", LONG, "short"], config)
    await RunnableLambda(embeddings.aembed_query).ainvoke(LONG, config)
    event = "llm2vec_gen_truncation"
    assert listener.heard == [(event, [1]), (event, [0])]
    embeddings.embed_query(LONG + "?")  # outside of a chain nobody listens
