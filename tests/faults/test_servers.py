"""What a Qdrant server answers when it is not well, as errors that say what it answered."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from qdrant_client import QdrantClient
from qdrant_server import Answer

from llm2vec_gen_rag.errors import CollectionError, CollectionMismatchError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport
from llm2vec_gen_rag.qdrant.opening import server

DOCUMENT = Document("The yen is the money of Japan.", id="yen")
KEY = "s3cr3t-KEY"


@pytest.fixture
def notes(qdrant, model):
    """The collection "notes" of the played server."""
    with DocumentCollection.open(qdrant.url, "notes", model) as collection:
        yield collection


def said(error) -> bytes:
    return json.dumps({"status": {"error": error}, "time": 0.0}).encode()


HTML = b"<html><body>Welcome to nginx!</body></html>"
ANSWERS = {
    "400": (Answer(400, said("Wrong input: Vector dimension error")), "Vector dimension error"),
    "401": (Answer(401, b"Must provide an API key"), r"answered 401 \(Unauthorized\).*api_key="),
    "403": (Answer(403, said("Forbidden: write access")), r"403 \(Forbidden: write access\)"),
    "404": (Answer(404, said("Not found: Collection `notes`")), "collection was deleted, or the"),
    "404 of another server": (Answer(404, HTML), r"answered 404 \(Not Found\)"),
    "409": (Answer(409, said("Conflict")), "changes the collection at the same time"),
    "413": (Answer(413, said("JSON payload is larger")), "smaller batch_size"),
    "429": (Answer(429, said("Rate limit")), r"answered 429 \(Rate limit\)"),
    "429 to wait": (Answer(429, b"", {"Retry-After": "3600"}), "asks to wait 3600 seconds"),
    "429 to wait until": (
        Answer(429, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        "Retry-After",
    ),
    "500": (
        Answer(500, said("Service internal error: panic")),
        "internal error: panic.*Its own lo",
    ),
    "502": (Answer(502, HTML), r"answered 502 \(Bad Gateway\)"),
    "503": (Answer(503, b""), r"answered 503 \(Service Unavailable\)"),
    "redirect": (
        Answer(301, b"", {"Location": "https://user:hidden@login.example/x?token=hidden"}),
        r"a redirect to https://login\.example/x, which",
    ),
    "HTML": (Answer(200, HTML), "answered something that no Qdrant server answers"),
    "empty body": (Answer(200, b""), "answered something that no Qdrant server answers"),
    "not UTF-8": (Answer(200, b"\xff\xfe\xff"), "answered something that no Qdrant server answers"),
    "deeply nested": (Answer(200, b"[" * 100_000), "something that no Qdrant server answers"),
    "no result": (Answer(200, b"{}"), "something that no Qdrant server answers"),
    "result null": (Answer(200, b'{"result": null}'), "something that no Qdrant server answers"),
    "a list": (Answer(200, b"[]"), "something that no Qdrant server answers"),
    "another result": (Answer(200, b'{"result": {"a": 1}}'), r"no Qdrant server answers \(at "),
    "no content": (Answer(204, b""), r"answered 204 \(No Content\)"),
}


@pytest.mark.parametrize(("answer", "message"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize(
    ("asked", "call"),
    [
        ("POST /points/count", lambda notes: notes.count()),
        ("POST /points/query/batch", lambda notes: notes.search("money")),
        ("PUT /points", lambda notes: notes.index([DOCUMENT])),
    ],
    ids=["count", "search", "index"],
)
def test_each_answer_is_an_error_that_says_what_was_answered(
    qdrant, notes, asked, call, answer, message
):
    qdrant.fail(asked, answer)
    with pytest.raises(CollectionError, match=message) as refused:
        call(notes)
    assert qdrant.url in str(refused.value)
    assert "No Qdrant server answered" not in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(("answer", "message"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_to_opening_is_an_error_too(qdrant, model, answer, message):
    qdrant.fail("GET /exists", answer)
    with pytest.raises(CollectionError, match=message):
        DocumentCollection.open(qdrant.url, "notes", model)


def test_what_may_be_repeated_is_tried_three_times(qdrant, notes):
    busy = Answer(503, said("busy"))
    qdrant.fail("PUT /points", busy, Answer(429, b"", {"Retry-After": "0"}), None)
    qdrant.fail("POST /points/query/batch", busy, busy, None)
    assert notes.index([DOCUMENT]) == IndexReport(added=1)
    assert [hit.id for hit in notes.search("money")] == ["yen"]
    assert qdrant.asked.count("PUT /points") == qdrant.asked.count("POST /points/query/batch") == 3

    qdrant.fail("POST /points/count", busy)
    with pytest.raises(CollectionError, match="answered 503"):
        notes.count()
    assert qdrant.asked.count("POST /points/count") == 3


def test_a_refusal_and_a_creation_are_not_repeated(qdrant, notes, model):
    qdrant.fail("POST /points/count", Answer(403))
    with pytest.raises(CollectionError):
        notes.count()
    assert qdrant.asked.count("POST /points/count") == 1
    qdrant.created, creations = None, qdrant.asked.count("PUT ")
    qdrant.fail("PUT ", Answer(503))
    with pytest.raises(CollectionError, match="answered 503"):
        DocumentCollection.open(qdrant.url, "notes", model)
    assert qdrant.asked.count("PUT ") == creations + 1


def test_an_answer_that_is_late_says_so(qdrant, model):
    qdrant.fail("GET /exists", Answer(200, b"{}", after=2))
    with pytest.raises(CollectionError, match=r"within 1 seconds.*longer timeout="):
        DocumentCollection.open(qdrant.url, "notes", model, timeout=0.5)


def test_a_server_that_went_away_is_reported(qdrant, notes):
    qdrant.close()
    with pytest.raises(CollectionError, match=r"No Qdrant server answered at http://127\.0\.0\.1"):
        notes.count()


def test_a_server_that_hangs_up_is_reported(socket_enabled, model, monkeypatch):
    monkeypatch.setattr(server, "_PAUSES", ())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def hang_up():
            listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(CollectionError, match=f"No Qdrant server answered at {url}"):
            DocumentCollection.open(url, "notes", model)


def test_of_two_creators_the_slower_one_reads_what_the_faster_one_wrote(qdrant, model, other_model):
    conflict = said("Wrong input: Collection `notes` already exists!")
    for writer in (model, other_model):
        with DocumentCollection.open(qdrant.url, "notes", writer):
            created = qdrant.created
        qdrant.created = None
        # not there when asked, but created by another before the request arrives
        qdrant.fail("GET /exists", Answer(200, b'{"result": {"exists": false}}'), None)
        qdrant.fail("PUT ", Answer(409, conflict))
        real, qdrant.result = qdrant.result, _after_creation(qdrant, created)
        if writer is model:
            DocumentCollection.open(qdrant.url, "notes", model).close()
        else:
            with pytest.raises(CollectionMismatchError, match="was written by"):
                DocumentCollection.open(qdrant.url, "notes", model)
        qdrant.result, qdrant.created = real, None
        qdrant.fail("PUT ", None)


def _after_creation(qdrant, created):
    right = type(qdrant).result

    def result(asked, body):
        qdrant.created = created
        return right(qdrant, asked, body)

    return result


def test_a_creation_whose_answer_was_lost_is_found_again(qdrant, model):
    qdrant.fail("PUT ", Answer(502, HTML, carries_out=True))
    with DocumentCollection.open(qdrant.url, "notes", model) as collection:
        assert collection.count() == 0


PAYLOADS = {
    "text a number": {"page_content": 7},
    "metadata a string": {"page_content": "x", "metadata": "y"},
    "metadata a list": {"page_content": "x", "metadata": [1]},
    "stamp a list": {"page_content": "x", "_llm2vec_gen": [1]},
    "stamp a string": {"page_content": "x", "_llm2vec_gen": "y"},
    "node no JSON": {"_node_content": "{"},
    "node a list": {"_node_content": "[]"},
    "node a number": {"_node_content": 3},
    "node's metadata a list": {"_node_content": '{"text": "x", "metadata": [1]}'},
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_point_with_a_malformed_payload_is_named(qdrant, notes, payload):
    qdrant.points["b1"] = {"id": "b1", "payload": payload}
    with pytest.raises(CollectionError, match=r"point .b1. has a malformed payload.*Delete it"):
        notes.search("money")


@pytest.mark.parametrize("credentials", [f"user:{KEY}", KEY, f":{KEY}", f"user:%2F{KEY}"])
def test_credentials_of_a_url_are_sent_and_never_shown(qdrant, model, credentials):
    url = qdrant.url.replace("http://", f"http://{credentials}@")
    with DocumentCollection.open(url, "notes", model) as collection:
        assert qdrant.headers[-1]["Authorization"].startswith("Basic ")
        for answer, _ in ANSWERS.values():
            qdrant.fail("POST /points/count", answer)
            with pytest.raises(CollectionError) as refused:
                collection.count()
            assert KEY not in str(refused.value)
            assert qdrant.url in str(refused.value)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_key_that_the_server_repeats_is_not_shown(qdrant, model):
    qdrant.fail("GET /exists", Answer(403, said(f"the key {KEY} is unknown")))
    with pytest.raises(CollectionError, match="the key <secret> is unknown"):
        DocumentCollection.open(qdrant.url, "notes", model, api_key=KEY)


@pytest.mark.parametrize(
    "location",
    [
        f"http://user:{KEY}@127.0.0.1:notaport",
        f"http://user:{KEY}@127.0.0.1:99999",
        f"http://user:pass/{KEY}@127.0.0.1:9",
        f"http://user:12#{KEY}@127.0.0.1:9",
        f"http://user:12?{KEY}@127.0.0.1:9",
        f"http://user:{KEY}@",
        f"http://us er:{KEY}@127.0.0.1",
        f"ftp://user:{KEY}@127.0.0.1",
        f"http://[user:{KEY}@127.0.0.1",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_key(model, location):
    with pytest.raises(ValueError, match="location is ") as refused:
        DocumentCollection.open(location, "notes", model)
    assert KEY not in str(refused.value)


def test_a_mistake_of_the_caller_is_not_blamed_on_the_server(notes):
    with pytest.raises((TypeError, AttributeError, AssertionError)):
        notes.client.count("notes", unknown=1)


def test_a_client_of_ones_own_fails_with_the_same_errors(qdrant, model):
    client = QdrantClient(url=qdrant.url, check_compatibility=False)
    collection = DocumentCollection(client, "notes", model)
    qdrant.fail("POST /points/count", Answer(500, said("panic")))
    with pytest.raises(CollectionError, match=r"answered 500 \(panic\)"):
        collection.count()


def test_the_frameworks_stores_fail_with_the_same_errors(qdrant, notes):
    store = notes.as_langchain()
    qdrant.fail("PUT /points", Answer(500, said("panic")))
    with pytest.raises(CollectionError, match=r"answered 500 \(panic\)"):
        store.add_texts(["a text"])
