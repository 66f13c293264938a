"""The LangChain adapter: vectors, sides, bad settings, threads, event loops, stores."""

from __future__ import annotations

import asyncio
import copy
import doctest
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hidden_modules import import_without
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_qdrant import QdrantVectorStore
from tiny_kit import load_tiny, tiny_kit
from transformers import AutoTokenizer
from watched_forwards import watch_forwards

import llm2vec_gen_rag.langchain
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import BaseModelError, CheckpointError
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "The yen is Japan's money.", "four"]


@pytest.fixture(scope="module")
def kit():
    return tiny_kit()


@pytest.fixture(scope="module")
def model():
    return load_tiny()


@pytest.fixture(scope="module")
def embeddings(model):
    return LLM2VecGenEmbeddings(model=model)


# --- vectors


def test_a_name_and_a_loaded_model_give_the_models_own_vectors(kit, model):
    for adapter in (LLM2VecGenEmbeddings(**kit), LLM2VecGenEmbeddings(model=model)):
        np.testing.assert_allclose(
            adapter.embed_documents(TEXTS), model.encode_document(TEXTS), atol=1e-6
        )
        np.testing.assert_allclose(
            adapter.embed_query(TEXTS[1]), model.encode_query(TEXTS[1]), atol=1e-6
        )


def test_vectors_are_lists_of_python_floats_of_length_one(embeddings, model):
    vectors = [*embeddings.embed_documents(TEXTS), embeddings.embed_query("x")]
    assert {type(vector) for vector in vectors} == {list}
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert {len(vector) for vector in vectors} == {model.dimension}
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_normalize_false_keeps_the_length(model):
    vector = LLM2VecGenEmbeddings(model=model, normalize=False).embed_query("x")
    assert abs(np.linalg.norm(vector) - 1) > 1e-3


def test_newlines_reach_the_model(embeddings, model):
    broken, joined = embeddings.embed_documents(["one\ntwo", "one two"])
    np.testing.assert_allclose(broken, model.encode_document("one\ntwo"), atol=1e-6)
    assert np.abs(np.subtract(broken, joined)).max() > 1e-4


def test_nothing_in_nothing_out(embeddings):
    assert embeddings.embed_documents([]) == []


def test_each_side_has_the_models_instruction_unless_told_otherwise(model):
    default = LLM2VecGenEmbeddings(model=model)
    told = LLM2VecGenEmbeddings(model=model, query_instruction="Ask: ", document_instruction="")
    assert default.query_instruction == model.prompts.for_query("retrieval")
    assert default.document_instruction == model.prompts.document
    np.testing.assert_allclose(
        told.embed_query("x"), model.encode("x", instruction="Ask: "), atol=1e-6
    )
    np.testing.assert_allclose(
        told.embed_documents(["x"])[0], model.encode("x", instruction=""), atol=1e-6
    )
    assert np.abs(np.subtract(default.embed_query("x"), told.embed_query("x"))).max() > 1e-4


def test_task_chooses_the_query_instruction(model):
    vector = LLM2VecGenEmbeddings(model=model, task="sts").embed_query("x")
    np.testing.assert_allclose(vector, model.encode_query("x", task="sts"), atol=1e-6)


def test_max_length_reaches_the_model(model):
    long = "word " * 100
    short = LLM2VecGenEmbeddings(model=model, query_instruction="", max_length=32)
    np.testing.assert_allclose(
        short.embed_query(long), model.encode(long, instruction="", max_length=32), atol=1e-6
    )
    whole = LLM2VecGenEmbeddings(model=model, query_instruction="")
    assert np.abs(np.subtract(short.embed_query(long), whole.embed_query(long))).max() > 1e-4


def test_a_list_goes_to_the_model_whole(embeddings, model):
    texts = [f"text {i} " + "and more " * (i % 7) for i in range(150)]
    with watch_forwards(model) as direct:
        model.encode_document(texts)
    with watch_forwards(model) as adapted:
        embeddings.embed_documents(texts)
    assert adapted.rows == direct.rows
    assert max(adapted.rows) > 1


def test_batch_size_reaches_the_model(model):
    with watch_forwards(model) as seen:
        LLM2VecGenEmbeddings(model=model, batch_size=2).embed_documents(["a", "b", "c", "d"])
    assert seen.rows == [2, 2]


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither of model and model_name"),
        ({"model_name": "almanac", "model": "almanac"}, "both of model and model_name"),
        ({"model": "almanac"}, "model is a str; expected a loaded LLM2VecGen"),
        ({"model_name": "almanac", "batchsize": 3}, "batchsize"),
        ({"model_name": "almanac", "max_length": 0}, "max_length"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LLM2VecGenEmbeddings(**settings)


def test_a_loaded_model_cannot_be_loaded_differently(model):
    with pytest.raises(ValueError, match="got device beside model="):
        LLM2VecGenEmbeddings(model=model, device="cpu")


def test_a_folder_may_be_a_path(kit, embeddings):
    settings = kit | {"model_name": Path(kit["model_name"]), "base_model": Path(kit["base_model"])}
    adapter = LLM2VecGenEmbeddings(**settings)
    assert adapter.model_name == kit["model_name"]
    assert adapter.embed_query("x") == embeddings.embed_query("x")


def test_what_the_model_refuses_reaches_the_caller(kit):
    with pytest.raises(ValueError, match="device='gpu'"):
        LLM2VecGenEmbeddings(**kit | {"device": "gpu"})
    with pytest.raises(BaseModelError, match="pass base_model="):
        LLM2VecGenEmbeddings(**kit | {"base_model": "/nowhere"})


def test_an_unknown_task_is_named(model):
    with pytest.raises(ValueError, match="unknown task 'cooking'"):
        LLM2VecGenEmbeddings(model=model, task="cooking")


def test_what_describes_the_model_cannot_be_changed_under_it(model):
    embeddings = LLM2VecGenEmbeddings(model=model)
    with pytest.raises(ValueError, match="frozen"):
        embeddings.model_name = "another"


def test_one_string_is_not_a_list_of_documents(embeddings):
    with pytest.raises(ValueError, match="takes a list of texts; got one string, 'abc'"):
        embeddings.embed_documents("abc")


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("embed_query", None),
        ("embed_query", ["a list"]),
        ("embed_documents", None),
        ("embed_documents", ["fine", 3]),
        ("embed_documents", [["nested"]]),
    ],
)
async def test_what_is_no_text_is_refused(embeddings, method, argument):
    with pytest.raises(ValueError, match="expected a string"):
        getattr(embeddings, method)(argument)
    with pytest.raises(ValueError, match="expected a string"):
        await getattr(embeddings, f"a{method}")(argument)


# --- threads and event loops


async def _ticks_while(awaitable):
    """Return how often the loop came round while it awaited."""
    ticks = 0
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    await task
    return ticks


async def test_async_vectors_are_the_sync_ones(embeddings):
    assert await embeddings.aembed_query("x") == embeddings.embed_query("x")
    assert await embeddings.aembed_documents(TEXTS) == embeddings.embed_documents(TEXTS)


async def test_the_event_loop_runs_on_meanwhile(embeddings, model):
    with watch_forwards(model, seconds=0.3):
        assert await _ticks_while(embeddings.aembed_documents(["x"])) >= 5
        assert await _ticks_while(embeddings.aembed_query("x")) >= 5


async def test_never_two_forwards_at_once_on_one_model(embeddings, model):
    other = LLM2VecGenEmbedding(model=model)
    with watch_forwards(model, seconds=0.02) as seen, ThreadPoolExecutor(3) as threads:
        sync = [threads.submit(embeddings.embed_query, f"thread {i}") for i in range(3)]
        await asyncio.gather(
            *(embeddings.aembed_query(f"query {i}") for i in range(3)),
            *(embeddings.aembed_documents([f"document {i}"]) for i in range(3)),
            *(other.aget_text_embedding(f"node {i}") for i in range(3)),
        )
        assert all(len(call.result()) == model.dimension for call in sync)
    assert sum(seen.rows) == 12
    assert seen.most_at_once == 1


async def test_a_call_cancelled_before_its_turn_never_runs(embeddings, model):
    with watch_forwards(model, seconds=0.1) as seen:
        first, second, third = (
            asyncio.ensure_future(embeddings.aembed_query(f"query {i}")) for i in range(3)
        )
        await asyncio.sleep(0.02)
        second.cancel()
        await asyncio.gather(first, third)
    assert second.cancelled()
    assert sum(seen.rows) == 2


async def test_an_error_on_the_worker_reaches_the_caller_and_the_next_call_works(embeddings):
    with pytest.raises(ValueError, match="None"):
        await embeddings.aembed_documents([None])
    assert await embeddings.aembed_query("x") == embeddings.embed_query("x")


def test_the_worker_ends_with_its_model(kit):
    before = set(threading.enumerate())
    embeddings = LLM2VecGenEmbeddings(**kit)
    asyncio.run(embeddings.aembed_query("x"))
    (worker,) = set(threading.enumerate()) - before
    model = weakref.ref(embeddings.model)
    del embeddings
    gc.collect()
    worker.join(timeout=5)
    assert model() is None
    assert not worker.is_alive()


# --- copies


def test_a_pickled_copy_loads_its_model_at_its_first_text(kit):
    embeddings = LLM2VecGenEmbeddings(**kit, query_instruction="Ask: ", max_length=64)
    pickled = pickle.dumps(embeddings)
    again = pickle.loads(pickled)
    assert len(pickled) < 4096
    assert again.model is None
    assert again.embed_query("x") == embeddings.embed_query("x")
    assert again.model_dump() == embeddings.model_dump()
    assert again.device == embeddings.device


async def test_a_pickled_copy_loads_off_the_event_loop(kit):
    embeddings = LLM2VecGenEmbeddings(**kit)
    again = pickle.loads(pickle.dumps(embeddings))
    vectors = await asyncio.gather(*(again.aembed_query("x") for _ in range(3)))
    assert vectors == [embeddings.embed_query("x")] * 3


def test_a_pickled_copy_refuses_a_changed_checkpoint(kit):
    embeddings = LLM2VecGenEmbeddings(**kit)
    cls, (settings,) = embeddings.__reduce__()
    again = cls({**settings, "fingerprint": "of another model"})
    with pytest.raises(CheckpointError, match="of another model"):
        again.embed_query("x")


def test_a_model_that_is_nowhere_cannot_be_pickled(model):
    embeddings = LLM2VecGenEmbeddings(
        model=LLM2VecGen.initialise(
            model.backbone, AutoTokenizer.from_pretrained(tiny_kit()["base_model"]), dimension=8
        )
    )
    assert len(embeddings.embed_query("x")) == 8
    with pytest.raises(pickle.PicklingError, match="'untrained' is in memory only"):
        pickle.dumps(embeddings)


def test_a_deep_copy_shares_the_model(embeddings):
    again = copy.deepcopy(embeddings)
    assert again is not embeddings
    assert again.model is embeddings.model
    assert again.embed_query("x") == embeddings.embed_query("x")


# --- stores


def test_in_memory_store(embeddings):
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    vector = embeddings.embed_documents([TEXTS[3]])[0]
    (found,) = store.similarity_search_by_vector(vector, k=1)
    assert found.page_content == TEXTS[3]
    assert len(store.similarity_search("money", k=5)) == 5


async def test_qdrant_store(embeddings):
    store = QdrantVectorStore.from_texts(TEXTS, embeddings, location=":memory:")
    vector = embeddings.embed_documents([TEXTS[0]])[0]
    (found,) = store.similarity_search_by_vector(vector, k=1)
    assert found.page_content == TEXTS[0]
    scores = [score for _, score in await store.asimilarity_search_with_score("money", k=5)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5


# --- the extra


def test_without_langchain_the_error_names_the_extra():
    done = import_without("langchain_core", "llm2vec_gen_rag.langchain")
    assert done.stderr == ""
    assert "pip install 'llm2vec-gen-rag[langchain]'" in done.stdout


def test_importing_the_adapter_imports_no_torch():
    program = "import sys, llm2vec_gen_rag.langchain; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


# --- the example


def test_the_example_of_the_docstring():
    result = doctest.testmod(llm2vec_gen_rag.langchain)
    assert result.attempted >= 5
    assert result.failed == 0
