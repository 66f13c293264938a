"""Empty collections in memory, of the first reference checkpoint; and a played server.

Qdrant is imported by what asks for it: tests of GGUF files run where it is not installed.
"""

from __future__ import annotations

import pytest


@pytest.fixture
def collection(model):
    from llm2vec_gen_rag.qdrant import DocumentCollection

    with DocumentCollection.open(":memory:", "notes", model) as opened:
        yield opened


@pytest.fixture
def collection_on_own_client(model):
    """A collection whose `raw` is the user's own client, which knows nothing of this library."""
    from qdrant_client import QdrantClient

    from llm2vec_gen_rag.qdrant import DocumentCollection

    client = QdrantClient(":memory:")
    opened = DocumentCollection(client, "notes", model)
    opened.raw = client
    yield opened
    client.close()


@pytest.fixture
def qdrant(socket_enabled, monkeypatch):
    """A played server; between two tries, the client waits for no time."""
    from qdrant_server import PlayedServer

    from llm2vec_gen_rag.qdrant.opening import server

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(server, "_PAUSES", (0.0, 0.0))
    played = PlayedServer()
    yield played
    played.close()
