"""What a Qdrant server is sent, by a played one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_server import PlayedServer

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport


@pytest.fixture
def played(socket_enabled, monkeypatch):
    """Start a played server, and connect to it with a key; closed at the end."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start(**options) -> tuple[PlayedServer, QdrantClient]:
        servers.append(PlayedServer(**options))
        url = servers[-1].url
        return servers[-1], QdrantClient(url=url, api_key="secret", check_compatibility=False)

    yield start
    for server in servers:
        server.close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server_gets_the_points_that_a_folder_gets(played, model):
    server, client = played()
    collection = DocumentCollection(client, "notes", model)
    document = Document("The yen is the money of Japan.", id="yen", metadata={"lang": "en"})
    assert collection.index([document]) == IndexReport(added=1)
    assert collection.index([document]) == IndexReport(unchanged=1)

    assert server.created["vectors"] == {"size": model.dimension, "distance": "Cosine"}
    assert server.created["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    assert server.asked.count("PUT /index") == 3
    assert {headers["api-key"] for headers in server.headers} == {"secret"}
    (point,) = server.points.values()
    assert point["id"] == document.point_id
    np.testing.assert_allclose(point["vector"][""], model.encode_document(document.text), atol=1e-6)
    assert len(point["vector"]["bm25"]["indices"]) == 6  # "the" twice
    assert point["payload"]["page_content"] == document.text
    assert json.loads(point["payload"]["_node_content"])["text"] == document.text


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server_that_forgets_metadata_is_refused(played, model):
    server, client = played(keeps_metadata=False)
    with pytest.raises(CollectionError, match=r"Expected Qdrant 1\.16 or newer"):
        DocumentCollection(client, "notes", model)
    assert server.asked[-1] == "DELETE "


@pytest.mark.enable_socket
def test_an_unreachable_server_is_reported(model):
    with pytest.raises(
        CollectionError, match=r"No Qdrant server answered at http://127\.0\.0\.1:9"
    ):
        DocumentCollection.open("http://127.0.0.1:9", "notes", model)
