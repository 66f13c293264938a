"""A small HTTP server that plays a Qdrant server with one collection, and fails as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VECTORS = ("vectors", "sparse_vectors")
PARAMS = {"vectors": {"size": 4, "distance": "Cosine"}}
INFO = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "payload_schema": {},
    "config": {
        "params": PARAMS,
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    },
}


@dataclass(frozen=True)
class Answer:
    """One answer instead of the right one; `carries_out` says whether the request is done, too."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0
    carries_out: bool = False


class PlayedServer:
    """Answers for the collection "notes", and remembers what it was asked.

    Args:
        keeps_metadata: Whether a collection keeps its metadata, as Qdrant 1.16 and newer do.

    Attributes:
        url: Where it listens.
        asked: Every request, such as "PUT /points", without the collection's path.
        headers: Those of every request.
        failures: Answers to give before the right ones, by request; the last one stays.
        created: What the collection was created with.
        points: The points of the collection.
    """

    def __init__(self, *, keeps_metadata: bool = True) -> None:
        self.keeps_metadata = keeps_metadata
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.failures: defaultdict[str, list[Answer | None]] = defaultdict(list)
        self.created: dict[str, Any] | None = None
        self.points: dict[str, dict[str, Any]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fail(self, asked: str, *answers: Answer | None) -> None:
        """Answer a request so, one after the other; None is the right answer, from there on."""
        self.failures[asked] = list(answers)

    def result(self, asked: str, body: dict[str, Any]) -> Any:
        if asked == "GET /exists":
            return {"exists": self.created is not None}
        if asked == "PUT ":
            self.created = body
        if asked == "GET ":
            created = self.created or {}
            params = {name: created[name] for name in VECTORS if name in created}
            keeps = self.keeps_metadata and created
            metadata = {"metadata": created["metadata"]} if keeps else {}
            config = INFO["config"] | {"params": PARAMS | params} | metadata
            return INFO | {"config": config}
        if asked == "POST /points":
            return [self.points[i] | {"vector": None} for i in body["ids"] if i in self.points]
        if asked == "PUT /points":
            self.points |= {point["id"]: point for point in body["points"]}
        if asked == "POST /points/scroll":
            return {"points": [], "next_page_offset": None}
        if asked == "POST /points/count":
            return {"count": len(self.points)}
        if asked in {"POST /points/query/batch", "POST /facet"}:
            return self._found(asked, body)
        if asked in {"PUT /points", "PUT /index", "POST /points/batch", "POST /points/delete"}:
            return {"operation_id": 1, "status": "completed"}
        return True

    def _found(self, asked: str, body: dict[str, Any]) -> Any:
        if asked == "POST /facet":
            stamps = [point["payload"]["_llm2vec_gen"] for point in self.points.values()]
            held = Counter(held["source"] for stamp in stamps for held in stamp["sources"])
            return {"hits": [{"value": value, "count": count} for value, count in held.items()]}
        hits = [
            {"id": p["id"], "version": 1, "score": 0.5, "payload": p["payload"]}
            for p in self.points.values()
        ]
        return [{"points": hits} for _ in body["searches"]]

    def answer(self, asked: str, body: dict[str, Any]) -> Answer:
        self.asked.append(asked)
        planned = self.failures[asked]
        failure = planned.pop(0) if len(planned) > 1 else (planned or [None])[0]
        if failure is not None and not failure.carries_out:
            return failure
        result = {"result": self.result(asked, body), "status": "ok", "time": 0.0}
        return failure or Answer(body=json.dumps(result).encode())

    def _handler(played) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0].removeprefix("/collections/notes")
                played.headers.append(dict(self.headers))
                answer = played.answer(
                    f"{self.command} {path}", json.loads(content) if content else {}
                )
                time.sleep(answer.after)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Keep out of the test's own output."""

        return Handler
