"""After `close`, and at the end of a script that does not close."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from qdrant_server import PlayedServer

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

DOCUMENTS = [Document("The yen is the money of Japan.", id="yen")]
CALLS = {
    "count": lambda notes: notes.count(),
    "index": lambda notes: notes.index(DOCUMENTS),
    "sync": lambda notes: notes.sync(DOCUMENTS),
    "delete": lambda notes: notes.delete(["yen"]),
    "adopt": lambda notes: notes.adopt(),
    "search": lambda notes: notes.search("money"),
    "search_many": lambda notes: notes.search_many(["money"]),
    "hybrid_search": lambda notes: notes.hybrid_search("money"),
    "client": lambda notes: notes.client.get_collections(),
    "client exists": lambda notes: notes.client.collection_exists("notes"),
    "another collection": lambda notes: DocumentCollection(notes.client, "others", notes.model),
    "LangChain": lambda notes: notes.as_langchain().similarity_search("money"),
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
    with closed:
        pass


def test_stores_of_a_collection_that_is_closed_say_so(model):
    collection = DocumentCollection.open(":memory:", "notes", model)
    langchain, llama_index = collection.as_langchain(), collection.as_llama_index()
    collection.close()
    with pytest.raises(CollectionError, match="is closed"):
        langchain.add_texts(["a text"])
    with pytest.raises(CollectionError, match="is closed"):
        asyncio.run(langchain.asimilarity_search("money"))
    with pytest.raises(CollectionError, match="is closed"):
        llama_index.delete("yen")


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
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, given, location],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr == ""
