"""Responses from a server: a real one on the loopback, which fails as servers fail."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from functools import partial
from urllib.parse import urlsplit

import pytest
from chat_server import Server, completion
from hidden_modules import import_without

from llm2vec_gen_rag.errors import EndpointError
from llm2vec_gen_rag.training.responses.decoding import query_seed
from llm2vec_gen_rag.training.responses.file import read_origin, read_responses
from llm2vec_gen_rag.training.responses.local import write_responses
from llm2vec_gen_rag.training.responses.remote import Endpoint, write_endpoint_responses
from llm2vec_gen_rag.training.responses.shards import Shard

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

QUERIES = [f"query {number}" for number in range(24)]
KEY = "sk-very-secret"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.close()


def ask(server, queries, path, *, decoding="greedy", tokenizer=None, max_prompt_length=3, **how):
    how = {"concurrency": 4, "backoff": 0.01, "attempts": 4, "timeout": 5.0, **how}
    write_endpoint_responses(
        Endpoint(server.url, "mine", **how),
        queries,
        path,
        max_new_tokens=6,
        decoding=decoding,
        tokenizer=tokenizer,
        max_prompt_length=max_prompt_length,
    )


def found(path):
    return {response.query: response.response for response in read_responses(path)}


def test_every_query_is_asked_once_and_its_answer_kept(server, tmp_path):
    ask(server, QUERIES, tmp_path / "r.jsonl")
    assert found(tmp_path / "r.jsonl") == {query: query.upper() for query in QUERIES}
    assert set(server.asked.values()) == {1}
    assert len(read_responses(tmp_path / "r.jsonl")) == len(QUERIES)


def test_what_is_asked_is_the_query_alone_with_thinking_off(server, tmp_path):
    ask(server, ["why"], tmp_path / "greedy.jsonl")
    ask(server, ["why"], tmp_path / "sampled.jsonl", decoding="sampled")
    ask(server, ["why"], tmp_path / "plain.jsonl", thinking_off=False)
    common = {"model": "mine", "messages": [{"role": "user", "content": "why"}], "max_tokens": 6}
    thinking_off = {"chat_template_kwargs": {"enable_thinking": False}}
    assert server.payloads == [
        {**common, **thinking_off, "temperature": 0.0},
        {**common, **thinking_off, "seed": query_seed(42, "why")},
        {**common, "temperature": 0.0},
    ]


def test_the_record_says_who_chooses_the_sampling(server, tmp_path):
    ask(server, ["why"], tmp_path / "r.jsonl", decoding="sampled")
    origin = read_origin(tmp_path / "r.jsonl")
    assert (origin["sampling"], origin["seed"]) == ("generation-config", 42)


def test_an_answer_that_was_cut_is_not_finished(server, tmp_path):
    server.reply = lambda query, _: (200, completion("x", "length" if query == "a" else "stop"), {})
    ask(server, ["a", "b"], tmp_path / "r.jsonl")
    finished = {r.query: r.finished for r in read_responses(tmp_path / "r.jsonl")}
    assert finished == {"a": False, "b": True}


def test_so_many_requests_are_in_flight_and_no_more(server, tmp_path):
    server.during = partial(threading.Barrier(6).wait, timeout=60)  # until six are held
    ask(server, QUERIES, tmp_path / "r.jsonl", concurrency=6)
    assert server.most_at_once == 6


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_what_fails_for_a_while_is_asked_again(server, tmp_path, status):
    server.reply = lambda query, times: (status, b"busy", {}) if times < 3 else None
    ask(server, QUERIES[:5], tmp_path / "r.jsonl")
    assert found(tmp_path / "r.jsonl") == {query: query.upper() for query in QUERIES[:5]}
    assert set(server.asked.values()) == {3}


def test_a_request_without_an_answer_in_time_is_asked_again(server, tmp_path):
    asked_again = threading.Event()

    def reply(query, times):
        asked_again.wait(timeout=60) if times == 1 else asked_again.set()

    server.reply = reply
    ask(server, ["why"], tmp_path / "r.jsonl", timeout=0.3)
    assert found(tmp_path / "r.jsonl") == {"why": "WHY"}
    assert server.asked["why"] >= 2


def test_a_client_that_hangs_up_leaves_no_word_in_the_output(server, capfd):
    left = threading.Event()
    server.during = partial(left.wait, timeout=60)
    body = b'{"messages": [{"content": "why"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        client.sendall(head + body)
        while not server.asked:
            time.sleep(0.001)
    left.set()
    assert server.hung_up.wait(timeout=60)
    assert server.at_once == 0
    assert capfd.readouterr().err == ""


def test_a_server_that_names_its_wait_is_given_it(server, tmp_path, monkeypatch):
    waits, sleep = [], asyncio.sleep

    async def at_once(seconds):
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", at_once)
    server.reply = lambda query, times: (429, {}, {"Retry-After": "17"}) if times == 1 else None
    ask(server, ["why"], tmp_path / "r.jsonl")
    assert waits == [17.0]
    assert server.asked["why"] == 2


def test_a_server_that_stays_down_ends_the_run_and_a_rerun_asks_the_rest(server, tmp_path):
    path = tmp_path / "r.jsonl"
    down = set(QUERIES[12:])
    server.reply = lambda query, _: (503, b"down for repair", {}) if query in down else None
    with pytest.raises(EndpointError, match=r"no answer in 4 attempts.*503.*down for repair"):
        ask(server, QUERIES, path)
    kept = found(path)
    assert len(kept) >= 9  # the first of the others is asked when at most three are under way
    assert not down & set(kept)
    server.asked.clear()
    down.clear()
    ask(server, QUERIES, path)
    assert set(server.asked) == set(QUERIES) - set(kept)
    assert found(path) == {query: query.upper() for query in QUERIES}


def test_a_server_that_is_not_there_is_reported(server, tmp_path):
    server.close()
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:.* gave no answer in 2 .*ConnectError"):
        ask(server, ["why"], tmp_path / "r.jsonl", attempts=2)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_ends_the_run_at_once(server, tmp_path, status):
    server.reply = lambda query, _: (status, {"error": {"message": "no model 'mine'"}}, {})
    with pytest.raises(EndpointError, match=f"status {status}.*no model 'mine'"):
        ask(server, QUERIES, tmp_path / "r.jsonl", concurrency=1)
    assert server.asked.total() == 1


def test_a_refused_query_is_reported_after_all_others_are_answered(server, tmp_path):
    path = tmp_path / "r.jsonl"
    filtered = {"query 3": (400, {"error": {"message": "too long"}}, {})}
    filtered["query 5"] = (200, completion(None, "content_filter"), {})
    server.reply = lambda query, _: filtered.get(query)
    with pytest.raises(EndpointError, match=r"refused 2 of 24 queries, such as 'query [35]'"):
        ask(server, QUERIES, path)
    assert set(found(path)) == set(QUERIES) - set(filtered)


def test_a_server_that_refuses_everything_is_not_asked_to_the_end(server, tmp_path):
    server.reply = lambda query, _: (400, {"error": {"message": "unknown field"}}, {})
    with pytest.raises(EndpointError, match="unknown field"):
        ask(server, QUERIES, tmp_path / "r.jsonl", concurrency=2)
    assert server.asked.total() <= 12


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "is not JSON.*hello"),
        ({"choices": []}, "expected a chat completion"),
        (["x"], "expected a chat completion"),
        (completion("<think>hm</think>x"), "thinks before it answers"),
        (completion("x", reasoning_content="hm"), "thinks before it answers"),
    ],
)
def test_an_answer_of_another_kind_ends_the_run(server, tmp_path, body, message):
    server.reply = lambda query, _: (200, body, {})
    with pytest.raises(EndpointError, match=message):
        ask(server, QUERIES, tmp_path / "r.jsonl")
    assert read_responses(tmp_path / "r.jsonl") == []


def test_the_key_is_sent_and_written_nowhere(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    ask(server, ["why"], tmp_path / "r.jsonl", api_key_variable="MY_KEY")
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    server.reply = lambda query, _: (401, {"error": {"message": f"bad key {KEY}"}}, {})
    with pytest.raises(EndpointError, match=r"bad key \*\*\*") as caught:
        ask(server, ["how"], tmp_path / "r.jsonl", api_key_variable="MY_KEY")
    assert KEY not in str(caught.value)
    assert not any(KEY in path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, "", "two words", "line\n", "schlüssel"])
def test_a_key_that_is_none_is_refused_before_a_file_exists(server, tmp_path, monkeypatch, value):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ValueError, match="MY_KEY") as caught:
        ask(server, ["why"], tmp_path / "r.jsonl", api_key_variable="MY_KEY")
    assert not value or value not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["localhost:8000/v1", "file:///etc", "http://", "http://a:b@c/v1"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match="URL of an endpoint"):
        Endpoint(url, "mine")


def test_long_queries_are_cut_by_the_models_tokenizer(server, tmp_path, model):
    tokenizer = model.tokenizer
    long = "polar bears live in the far north, and nowhere else on earth"
    ask(server, [long, "why"], tmp_path / "r.jsonl", tokenizer=tokenizer)
    assert set(found(tmp_path / "r.jsonl")) == {long, "why"}
    (cut,) = set(server.asked) - {"why"}
    assert long.startswith(cut)
    assert len(tokenizer(cut)["input_ids"]) == 3


def test_shards_are_one_run(server, tmp_path):
    path = tmp_path / "r.jsonl"
    for shard in (Shard(1, 2), Shard(2, 2)):
        ask(server, shard.of(QUERIES), shard.path(path))
    assert set(server.asked.values()) == {1}
    ask(server, QUERIES, path)
    assert server.asked.total() == len(QUERIES)


def test_responses_of_a_loaded_model_and_of_a_server_are_not_mixed(server, tmp_path, model):
    path = tmp_path / "r.jsonl"
    write_responses(model.backbone, model.tokenizer, ["why"], path, max_new_tokens=2)
    with pytest.raises(ValueError, match=r"r\.jsonl was written by"):
        ask(server, ["how"], path)
    assert not server.asked


@pytest.mark.parametrize("hidden", ["httpx", "tenacity"])
def test_without_the_extra_the_error_says_how_to_install_it(hidden):
    ran = import_without(hidden, "llm2vec_gen_rag.training.responses.chat_completions")
    assert "pip install 'llm2vec-gen-rag[endpoint]'" in ran.stdout, ran.stderr
