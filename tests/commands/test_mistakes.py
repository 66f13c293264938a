"""A user's mistake gets one line that says what was found, what was expected, and what to do."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from httpx import Headers
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_server import PlayedServer
from reference_kits import ReferenceKit

from llm2vec_gen_rag.commands.collection import opened
from llm2vec_gen_rag.errors import CollectionError

MISTAKES = {
    "no such folder": (["index", "nowhere"], "there is no nowhere"),
    "a kind of file that is not read": (["index", "scan.png"], ".htm or .jsonl"),
    "a broken line": (["index", "broken.jsonl"], "broken.jsonl, line 2 is not JSON"),
    "no store": (["search", "x", "--store", "nowhere"], "llm2vec-gen-rag index"),
    "a store that is forgotten": (["index", "ok.txt", "--store", ":memory:"], "--store qdrant"),
    "a variable that is not set": (["search", ""], "the query is ''; expected a question"),
    "no such collection": (["search", "x", "--store", "store"], "it holds none"),
    "a server without a scheme": (["index", "ok.txt", "--store", "ftp://x"], "http://"),
    "no such model": (["embed", "ok.txt", "--json", "--model", "./nowhere"], "'./nowhere'"),
    "an unknown dtype": (["embed", "ok.txt", "--json", "--dtype", "int3"], "dtype='int3'"),
    "an unknown device": (["embed", "ok.txt", "--json", "--device", "tpu9"], "device='tpu9'"),
    "one device and several": (
        ["embed", "ok.txt", "--json", "--device", "cpu", "--devices", "cpu", "cpu"],
        "got both --device cpu and --devices cpu cpu",
    ),
    "an unknown device of several": (
        ["embed", "ok.txt", "--json", "--devices", "tpu9"],
        "device='tpu9'",
    ),
    "an unknown task": (["explain", "x", "--task", "cooking"], "unknown task 'cooking'"),
    "two documents": (["explain", "x", "--document", "y", "--store", "s"], "Leave one out"),
    "nowhere to write": (["embed", "ok.txt"], "neither of --output and --json"),
    "two places to write": (["embed", "ok.txt", "--json", "--output", "a.npy"], "both"),
    "a place that is not there": (["embed", "ok.txt", "--output", "no/a.npy"], "no/a.npy"),
    "no such file": (["embed", "nowhere.txt", "--json"], "there is no file nowhere.txt"),
    "not UTF-8": (["embed", "scan.png", "--json"], "not UTF-8 at byte 0"),
    "no such recipe": (
        ["train", "--base-model", "b", "--queries", "ok.txt", "--output", "o", "--recipe", "cake"],
        "there is no recipe 'cake'",
    ),
    "no queries": (
        ["train", "--base-model", "b", "--queries", "empty.txt", "--output", "o"],
        "empty.txt holds no query",
    ),
    "no such base model": (
        ["train", "--base-model", "./nowhere", "--queries", "ok.txt", "--output", "o"],
        "'./nowhere'",
    ),
}


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_exits_with_1_and_one_line(mistake, run, tmp_path, monkeypatch, model_options):
    monkeypatch.chdir(tmp_path)
    Path("ok.txt").write_text("a text\n")
    Path("empty.txt").write_text("\n")
    Path("scan.png").write_bytes(b"\xff\xfe")
    Path("broken.jsonl").write_text('{"text": "whole"}\n{"text": \n')
    Path("store").mkdir()
    argv, expected = MISTAKES[mistake]
    own = [] if {"--model", "--base-model"} & set(argv) else model_options
    code, out, err = run(*own_first(argv, own))
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


def own_first(argv, options):
    """The command, the model's options, then the rest, which may overrule them."""
    return [argv[0], *options, *argv[1:]]


def test_a_missing_extra_names_what_to_install(run, notes, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("llm2vec_gen_rag.qdrant")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    code, _, err = run("search", "x", "--store", notes)
    assert code == 1
    assert "pip install 'llm2vec-gen-rag[qdrant]'" in err


def test_a_collection_of_another_model_is_refused(run, run_json, notes, tmp_path, model_options):
    store = ["--store", tmp_path / "store"]
    run_json("index", notes, *store, *model_options)
    other = ReferenceKit("qwen2-6-4")
    code, out, err = run(
        "search", "x", *store, "--model", other.checkpoint, "--base-model", other.base
    )
    assert (code, out) == (1, "")
    assert "was written by" in err


class Refuses(BaseHTTPRequestHandler):
    """Lists one collection, and refuses whatever else it is asked."""

    def do_GET(self):
        body = b'{"result": {"collections": [{"name": "documents"}]}, "status": "ok", "time": 0}'
        known = self.path == "/collections" and self.headers["api-key"] == "good for reading"
        self.send_response(200 if known else 403)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body if known else b"{}")

    def log_message(self, *args):
        """Keep out of the test's own output."""


@pytest.fixture
def refusing(socket_enabled, monkeypatch):
    """The URL of a Qdrant server whose key is wrong."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
@pytest.mark.parametrize("key", ["wrong", "good for reading"])
def test_a_key_that_the_server_refuses_is_reported(run, refusing, monkeypatch, model_options, key):
    monkeypatch.setenv("MY_KEY", key)
    store = ["--store", refusing, "--api-key-env", "MY_KEY"]
    code, out, err = run("search", "x", *store, *model_options)
    assert (code, out) == (1, "")
    assert f"{refusing} answered 403" in err.splitlines()[-1]
    assert "the key in the environment variable MY_KEY" in err.splitlines()[-1]


def test_a_password_in_the_url_of_a_store_is_not_printed(
    run, socket_enabled, monkeypatch, tmp_path, model_options
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "a.txt").write_text("The yen is the money of Japan.")
    server = PlayedServer()
    url = server.url.replace("http://", "http://user:s3cr3t@")
    store = [tmp_path, "--store", url, "--collection", "notes"]
    for form in ([], ["--json"]):
        code, out, err = run("index", *store, *form, *model_options)
        assert code == 0, err
        assert server.url in out
        assert "s3cr3t" not in out + err
    server.close()
    code, out, err = run("index", *store, *model_options)
    assert code == 1
    assert f"No Qdrant server answered at {server.url}" in err
    assert "s3cr3t" not in out + err


def test_a_server_that_refuses_in_the_middle_of_the_work_is_reported(tmp_path, model):
    arguments = Namespace(store=str(tmp_path), collection="documents", api_key_env="MY_KEY")
    refusal = UnexpectedResponse(403, "Forbidden", b"", Headers())
    with (
        pytest.raises(CollectionError, match=r"answered 403\. Check the key in .* MY_KEY"),
        opened(arguments, model, create=True) as collection,
    ):
        raise CollectionError("the server answered 403.") from refusal
    with pytest.raises(CollectionError, match="closed"):
        collection.count()


STORES = {
    "localhost": "http://localhost:6333",
    "host:6333": "http://localhost:6333",
    "u:SECRETKEY@host:1": "location is 'host:1'",
    "~nobody-of-this-name": "no home of that user",
    "": "expected ':memory:', a folder, or a URL",
    ":memory:": "is lost when the command ends",
    "ok.txt": "ok.txt is a file",
    "ok.txt/below": "ok.txt is a file",
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("command", ["index", "index --remove", "search", "explain"])
def test_a_store_that_cannot_be_is_refused_alike_everywhere(
    run, tmp_path, monkeypatch, model_options, command, store
):
    monkeypatch.chdir(tmp_path)
    Path("ok.txt").write_text("a text\n")
    name, *options = command.split()
    code, out, err = run(name, "ok.txt", *options, "--store", store, *model_options)
    assert (code, out) == (1, "")
    assert STORES[store] in err
    assert "Run: llm2vec-gen-rag index" not in err
    assert "SECRETKEY" not in err
