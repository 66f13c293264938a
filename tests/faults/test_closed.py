"""After `close`, and at the end of a script that does not close."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from child_processes import errors_of_script
from qdrant_client import QdrantClient
from qdrant_server import PlayedServer

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

DOCUMENTS = [Document("The yen is the money of Japan.", id="yen")]
CALLS = {
    "count": lambda notes: notes.count(),
    "index": lambda notes: notes.index(DOCUMENTS),
    "sync": lambda notes: notes.sync(DOCUMENTS),
    "delete": lambda notes: notes.delete(["yen"]),
    "delete by a filter": lambda notes: notes.delete_where({"lang": "en"}),
    "get": lambda notes: notes.get(["yen"]),
    "list": lambda notes: notes.list(),
    "export": lambda notes: notes.export("notes.jsonl"),
    "drop": lambda notes: notes.drop(),
    "await": lambda notes: asyncio.run(notes.asearch("money")),
    "adopt": lambda notes: notes.adopt(),
    "search": lambda notes: notes.search("money"),
    "search_many": lambda notes: notes.search_many(["money"]),
    "hybrid_search": lambda notes: notes.hybrid_search("money"),
    "client": lambda notes: notes.client.get_collections(),
    "client exists": lambda notes: notes.client.collection_exists("notes"),
    "another collection": lambda notes: DocumentCollection(notes.client, "others", notes.model),
    "LangChain": lambda notes: notes.as_langchain(),
    "LlamaIndex": lambda notes: notes.as_llama_index(),
    "with": lambda notes: notes.__enter__(),
    "index nothing": lambda notes: notes.index([]),
    "sync nothing": lambda notes: notes.sync([]),
    "delete nothing": lambda notes: notes.delete([]),
    "delete by no filter": lambda notes: notes.delete_where({}),
    "get nothing": lambda notes: notes.get([]),
    "search for nothing": lambda notes: notes.search_many([]),
    "client deletes nothing": lambda notes: notes.client.delete("notes", []),
    "client retrieves nothing": lambda notes: notes.client.retrieve("notes", []),
    "client upserts nothing": lambda notes: notes.client.upsert("notes", []),
    "client uploads nothing": lambda notes: notes.client.upload_points("notes", []),
    "client uploads no vectors": lambda notes: notes.client.upload_collection("notes", []),
    "client updates nothing": lambda notes: notes.client.batch_update_points("notes", []),
}
OF_STORES = {
    "add": lambda langchain, _: langchain.add_texts(["a text"]),
    "add nothing": lambda langchain, _: langchain.add_texts([]),
    "add no documents": lambda langchain, _: langchain.add_documents([]),
    "delete nothing": lambda langchain, _: langchain.delete([]),
    "get nothing": lambda langchain, _: langchain.get_by_ids([]),
    "await": lambda langchain, _: asyncio.run(langchain.asimilarity_search("money")),
    "LlamaIndex adds nothing": lambda _, llama_index: llama_index.add([]),
    "LlamaIndex deletes": lambda _, llama_index: llama_index.delete("yen"),
    "LlamaIndex deletes nothing": lambda _, llama_index: llama_index.delete_nodes([]),
    "LlamaIndex gets nothing": lambda _, llama_index: llama_index.get_nodes([]),
    "LlamaIndex clears": lambda _, llama_index: llama_index.clear(),
}


@pytest.fixture(params=["memory", "folder", "server"])
def closed(request, tmp_path, model):
    """A closed collection, of each kind."""
    if request.param != "server":
        location = ":memory:" if request.param == "memory" else tmp_path / "store"
        collection = DocumentCollection.open(location, "notes", model)
        collection.close()
        yield collection
        return
    request.getfixturevalue("socket_enabled")
    request.getfixturevalue("monkeypatch").setenv("NO_PROXY", "127.0.0.1")
    server = PlayedServer()
    collection = DocumentCollection.open(server.url, "notes", model)
    collection.close()
    yield collection
    server.close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_after_close_says_that_the_collection_is_closed(closed, call):
    with pytest.raises(CollectionError, match=r"the collection is closed.*Open it again"):
        call(closed)


def test_closing_twice_is_no_error(closed):
    closed.close()
    closed.client.close()


@pytest.mark.parametrize("call", OF_STORES.values(), ids=OF_STORES)
def test_stores_of_a_collection_that_is_closed_say_so(model, call):
    collection = DocumentCollection.open(":memory:", "notes", model)
    stores = collection.as_langchain(), collection.as_llama_index()
    collection.close()
    with pytest.raises(CollectionError, match="is closed"):
        call(*stores)


SCRIPT = """
import builtins, sys
from qdrant_client import QdrantClient
from llm2vec_gen_rag.qdrant.opening.connection import connect
from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient

given, path = sys.argv[1:]
client = connect(path) if given == "ours" else QdrantClient(path=path)
builtins.kept = CollectionClient(client)  # until the interpreter is gone
if "://" not in path:
    builtins.kept.get_collections()
"""


@pytest.mark.parametrize(
    ("given", "location"),
    [("ours", "folder"), ("theirs", "folder"), ("ours", ":memory:"), ("ours", "http://q:9")],
)
def test_a_script_that_ends_without_closing_is_quiet(tmp_path, given, location):
    assert errors_of_script(SCRIPT, given, location, seconds=60, cwd=tmp_path) == ""


THREADS = """
import sys, threading
from qdrant_client import models
from llm2vec_gen_rag.qdrant.opening.connection import connect
from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient

def write_for_ever(client, writing):
    points = [models.PointStruct(id=i, vector=[0.1] * 64) for i in range(50)]
    while True:
        client.upsert("notes", points)
        writing.set()
        client.require_open()

for location in sys.argv[1:]:
    client, writing = CollectionClient(connect(location)), threading.Event()
    vectors = models.VectorParams(size=64, distance="Cosine")
    client.create_collection("notes", vectors_config=vectors)
    threading.Thread(target=write_for_ever, args=(client, writing), daemon=True).start()
    writing.wait(10)
"""


def test_a_daemon_thread_that_still_writes_ends_quietly(tmp_path, qdrant):
    places = ["store", ":memory:", qdrant.url]
    quiet = {"PYTHONWARNINGS": "ignore"}
    assert errors_of_script(THREADS, *places, seconds=60, cwd=tmp_path, **quiet) == ""
    with closing(QdrantClient(path=str(tmp_path / "store"))) as client:
        assert client.count("notes").count == 50
