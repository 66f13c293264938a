"""A server that repeats the key or password that it was sent: no error or traceback has it."""

from __future__ import annotations

import base64
import json
import traceback
from urllib.parse import quote

import pytest
from qdrant_client import QdrantClient
from qdrant_server import Answer

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import DocumentCollection

USER, PASSWORD, KEY = "me-myself", 'PA"/SS W0RD+é', "s3cr3t-KEY"
PLAIN = "PASSW0RD"


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def forms(secret):
    """Return how a server may repeat a secret."""
    encoded = quote(secret, safe="")
    return [
        secret,
        secret.lower(),
        encoded,
        encoded.lower(),
        quote(secret),
        "".join(f"%{byte:02x}" for byte in secret.encode()),
        base64_of(secret),
        base64_of(secret).rstrip("="),
        base64.urlsafe_b64encode(secret.encode()).decode(),
        json.dumps(secret)[1:-1],
    ]


SAID = {
    PASSWORD: [*forms(PASSWORD), f"Basic {base64_of(f'{USER}:{PASSWORD}')}"],
    PLAIN: [*forms(PLAIN), f"Basic {base64_of(f'{USER}:{PLAIN}')}", f"http://{USER}:{PLAIN}@host/"],
}


def answers(said):
    """Return answers that repeat what is said, wherever an answer has text."""
    error = {"status": {"error": f"bad {said} of {USER}"}}
    as_json, as_utf8 = json.dumps(error), json.dumps(error, ensure_ascii=False)
    long = json.dumps({"status": {"error": "x" * 190 + said}})  # a message has 200 characters of it
    foreign = json.dumps({"result": {said: said}, "status": said})
    ascii_said = said if said.isascii() else quote(said)
    bodies = [(401, as_json), (403, as_utf8), (500, long), (400, said), (200, foreign), (200, said)]
    return [
        *(Answer(status, body.encode()) for status, body in bodies),
        Answer(301, as_json.encode(), {"Location": f"http://x/{ascii_said}"}),
        Answer(429, as_json.encode(), {"Retry-After": "3600"}),
        Answer(429, b"", {"Retry-After": ascii_said}),
    ]


def everything_said(error):
    """Return all that a traceback of an error shows, and what its causes hold."""
    texts, seen = ["".join(traceback.format_exception(error))], []
    while error is not None and error not in seen:
        seen.append(error)
        texts += [str(error), repr(error), repr(vars(error)), str(vars(error).get("headers"))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts).lower()


def errors(qdrant, collection, said):
    for answer in answers(said):
        qdrant.fail("POST /points/count", answer)
        with pytest.raises(CollectionError) as refused:
            collection.count()
        yield refused.value


@pytest.mark.parametrize("password", [PASSWORD, PLAIN])
@pytest.mark.parametrize("own", [False, True])
def test_a_password_that_a_server_repeats_is_shown_nowhere(qdrant, model, password, own):
    credentials = f"{USER}:{quote(password, safe='')}@"
    url = qdrant.url.replace("http://", f"http://{credentials}")
    if own:
        client = QdrantClient(url=url, check_compatibility=False)
        collection = DocumentCollection(client, "notes", model)
    else:
        collection = DocumentCollection.open(url, "notes", model)
    for said in SAID[password]:
        for error in errors(qdrant, collection, said):
            shown = everything_said(error)
            assert said.lower() not in shown
            assert password.lower() not in shown
            assert quote(password).lower() not in shown
            assert f" {USER}" not in shown
            assert qdrant.url in str(error)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_key_that_a_server_repeats_is_shown_nowhere(qdrant, model):
    collection = DocumentCollection.open(qdrant.url, "notes", model, api_key=KEY)
    for said in [*forms(KEY), f"api-key: {KEY}"]:
        for error in errors(qdrant, collection, said):
            assert said.lower() not in everything_said(error)
            assert KEY.lower() not in everything_said(error)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"api-key": KEY}])
def test_a_key_in_the_headers_of_a_client_of_ones_own_is_shown_nowhere(qdrant, model, headers):
    client = QdrantClient(url=qdrant.url, headers=headers, check_compatibility=False)
    collection = DocumentCollection(client, "notes", model)
    for error in errors(qdrant, collection, KEY):
        assert KEY.lower() not in everything_said(error)


def test_what_a_server_says_without_secrets_is_shown_as_it_is(qdrant, model):
    url = qdrant.url.replace("http://", "http://me:qdrant@")
    collection = DocumentCollection.open(url, "notes", model)
    said = "the message names some reason"
    qdrant.fail("POST /points/count", Answer(403, json.dumps({"status": {"error": said}}).encode()))
    with pytest.raises(CollectionError, match=rf"the Qdrant server at {qdrant.url} .*{said}") as e:
        collection.count()
    assert e.value.__cause__.status_code == 403
