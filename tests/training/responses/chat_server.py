"""A real server on the loopback that speaks OpenAI's chat completions, and fails when told to."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, finish_reason="stop", **message):
    message = {"role": "assistant", "content": text, **message}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.hung_up = threading.Event()

    def handle_error(self, request, client_address):
        if isinstance(sys.exc_info()[1], ConnectionError):
            self.hung_up.set()  # the client, before it was answered
        else:
            super().handle_error(request, client_address)


class Server:
    """Answers a query in capitals, unless `reply` has another (status, body, headers) for it.

    It calls `during` while it holds a request; `hung_up` is set once a client leaves unanswered.
    """

    def __init__(self):
        self.asked = Counter()
        self.payloads = []
        self.headers = []
        self.at_once = self.most_at_once = 0
        self.during = lambda: None
        self.reply = lambda query, times_asked: None
        self._lock = threading.Lock()
        self._http = _HttpServer(self._handler())
        self.hung_up = self._http.hung_up
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path, headers, payload):
        query = payload["messages"][-1]["content"]
        with self._lock:
            self.asked[query] += 1
            times_asked = self.asked[query]
            self.payloads.append(payload)
            self.headers.append(headers)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.during()
        with self._lock:
            self.at_once -= 1
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": "no such page"}}, {}
        return self.reply(query, times_asked) or (200, completion(query.upper()), {})

    def _handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body, headers = server.answer(self.path, dict(self.headers), payload)
                if status == 0:  # hang up
                    self.close_connection = True
                    return
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        return Handler
