"""Real forks: what a child can do with a model that its parent loaded, with and without threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest
from child_processes import FORK, errors_of_script

from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SECONDS = 120  # for a child that hangs; each takes a few on an idle machine

# a parent with two of torch's threads, which fork from its main thread; `child` runs in the child
PARENT = """
import asyncio, logging, os, sys, threading
import torch
torch.set_num_threads(2)
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone import threads
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
model = LLM2VecGen.from_pretrained({checkpoint!r}, base_model={base!r}, dtype="float32")
threads.SMALL_MATRIX = 0  # so that the parent's forwards use all threads
adapter = LLM2VecGenEmbeddings(model=model)
texts = ["The yen is the money of Japan. " * 20] * 8
before = torch.randn(600, 600) @ torch.randn(600, 600)  # starts torch's threads
expected = model.encode(texts)

def encode():
    assert abs(model.encode(texts) - expected).max() < 1e-5
    assert torch.get_num_threads() == 2
"""

OPEN_FOLDER = "import sys; from qdrant_client import QdrantClient; QdrantClient(path=sys.argv[1])"


def run(script: str, kit) -> str:
    """Run the parent and a script of its own; return what was written to standard error."""
    parent = PARENT.format(checkpoint=str(kit.checkpoint), base=str(kit.base))
    script = FORK + parent + textwrap.dedent(script)
    return errors_of_script(script, seconds=SECONDS)


def test_a_child_reads_what_its_parent_laid_out(qwen3):
    run(
        """
        from llm2vec_gen_rag.backbone import laying_out
        laying_out.LEAST_WEIGHTS = 0
        for way in laying_out.LAID_OUT.values():
            way.set(True)
        laying_out.lay_out(model.backbone)

        def child():
            encode()
            assert all(weight.isfinite().all() for weight in model.backbone.parameters())
            encode()

        fork(child)
        encode()
        """,
        qwen3,
    )


def test_a_forked_child_encodes_decodes_awaits_and_loads(qwen3):
    run(
        """
        asyncio.run(adapter.aembed_query("before"))  # starts the parent's worker thread

        def child():
            encode()
            model.decode(texts[:2], max_new_tokens=3)
            asyncio.run(adapter.aembed_documents(texts))
            LLM2VecGen.from_pretrained(model.name, base_model=model._base_model).encode("x")
            torch.set_num_threads(2)  # as a server's start-up does
            model.encode(texts)
            fork(lambda: model.encode(texts))  # a child of the child

        fork(child)
        fork(encode)
        assert torch.get_num_threads() == 2
        asyncio.run(adapter.aembed_query("after"))
        """,
        qwen3,
    )


def test_a_fork_while_another_thread_encodes(qwen3):
    run(
        """
        done = threading.Event()

        def keep_encoding():
            while not done.is_set():
                model.encode(texts)
                model.decode(texts[:1], max_new_tokens=3)

        thread = threading.Thread(target=keep_encoding)
        thread.start()
        for _ in range(10):
            fork(encode)
        done.set()
        thread.join()
        """,
        qwen3,
    )


def test_a_fork_amid_a_forward_that_does_not_end(load_kit, monkeypatch):
    """The lock is renewed, and the updates of LoRA that were on in the other thread are off."""
    monkeypatch.setattr("llm2vec_gen_rag.backbone.forks.SECONDS_TO_WAIT", 0.05)
    model = load_kit("qwen3-10-lora")
    began, done = threading.Event(), threading.Event()

    def forward():
        with model.lock, model.adapter.active():
            began.set()
            done.wait()

    thread = threading.Thread(target=forward)
    thread.start()
    began.wait()
    child = os.fork()
    if child == 0:
        free = model.lock.acquire(timeout=5)
        os._exit(0 if free and not model.adapter._enabled else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert model.lock.acquire(blocking=False)
    model.lock.release()


def test_a_thread_that_forks_under_its_own_lock_goes_on_in_both_processes():
    lock = ForkSafeLock()
    with lock:
        child = os.fork()
    if child == 0:
        taken = []
        thread = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=5)))
        thread.start()
        thread.join()
        os._exit(0 if taken == [True] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_collection_stays_its_parents(model, tmp_path):
    """A child is told to open its own, and its end neither closes nor unlocks the parent's."""
    with DocumentCollection.open(tmp_path, "notes", model) as collection:
        collection.index([Document("The yen is the money of Japan.")])
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(CollectionError, match="Open it after the fork"):
                    collection.count()
                collection.close()
                collection._client._wrapped.close()  # as qdrant-client does when a program ends
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert collection.search("money")[0].text.startswith("The yen")
        other = [sys.executable, "-c", OPEN_FOLDER, str(tmp_path)]
        assert b"already accessed" in subprocess.run(other, capture_output=True).stderr


def test_a_collection_in_memory_is_copied(model):
    with DocumentCollection.open(":memory:", "notes", model) as collection:
        collection.index([Document("The yen is the money of Japan.")])
        child = os.fork()
        if child == 0:
            os._exit(collection.count())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
