"""What a Qdrant server is sent, by a stand-in that answers in its words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport

URL = "https://qdrant.example:6333"
INFO = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "payload_schema": {},
    "config": {
        "params": {"vectors": {"size": 4, "distance": "Cosine"}},
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    },
}


class Server:
    """Answers for one collection, and remembers what it was sent."""

    def __init__(self, *, keeps_metadata: bool) -> None:
        self.keeps_metadata = keeps_metadata
        self.created: dict[str, Any] | None = None
        self.points: list[dict[str, Any]] = []
        self.requests: list[str] = []

    def client(self) -> QdrantClient:
        return QdrantClient(
            url=URL,
            api_key="secret",
            check_compatibility=False,
            transport=httpx.MockTransport(self.answer),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["api-key"] == "secret"
        body = json.loads(request.content) if request.content else {}
        asked = f"{request.method} {request.url.path.removeprefix('/collections/notes')}"
        self.requests.append(asked)
        result = self.result(asked, body)
        return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.0})

    def result(self, asked: str, body: dict[str, Any]) -> Any:
        if asked == "GET /exists":
            return {"exists": self.created is not None}
        if asked == "PUT ":
            self.created = body
        if asked == "GET ":
            params = {name: self.created[name] for name in ("vectors", "sparse_vectors")}
            metadata = {"metadata": self.created["metadata"]} if self.keeps_metadata else {}
            return INFO | {"config": INFO["config"] | {"params": params} | metadata}
        if asked == "POST /points":
            return [p | {"vector": None} for p in self.points if p["id"] in body["ids"]]
        if asked == "PUT /points":
            self.points += body["points"]
        if asked in {"PUT /points", "PUT /index"}:
            return {"operation_id": 1, "status": "completed"}
        return True


def test_a_server_gets_the_points_that_a_folder_gets(model):
    server = Server(keeps_metadata=True)
    collection = DocumentCollection(server.client(), "notes", model)
    document = Document("The yen is the money of Japan.", id="yen", metadata={"lang": "en"})
    assert collection.index([document]) == IndexReport(added=1)
    assert collection.index([document]) == IndexReport(unchanged=1)

    assert server.created["vectors"] == {"size": model.dimension, "distance": "Cosine"}
    assert server.created["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    assert server.requests.count("PUT /index") == 2
    (point,) = server.points
    assert point["id"] == document.point_id
    np.testing.assert_allclose(point["vector"][""], model.encode_document(document.text), atol=1e-6)
    assert len(point["vector"]["bm25"]["indices"]) == 6  # "the" twice
    assert point["payload"]["page_content"] == document.text
    assert json.loads(point["payload"]["_node_content"])["text"] == document.text


def test_a_server_that_forgets_metadata_is_refused(model):
    server = Server(keeps_metadata=False)
    with pytest.raises(CollectionError, match=r"Expected Qdrant 1\.16 or newer"):
        DocumentCollection(server.client(), "notes", model)
    assert server.requests[-1] == "DELETE "


@pytest.mark.enable_socket
def test_an_unreachable_server_is_reported(model):
    with pytest.raises(
        CollectionError, match=r"No Qdrant server answered at http://127\.0\.0\.1:9"
    ):
        DocumentCollection.open("http://127.0.0.1:9", "notes", model)
