"""Answers of a server that are well formed, and more or fewer than what was asked for."""

from __future__ import annotations

import json

import pytest
from qdrant_client import models
from qdrant_server import Answer

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

DOCUMENTS = [Document("The yen is the money of Japan.", id="yen"), Document("A cat.", id="cat")]
POINT = {"id": 1, "version": 1, "score": 0.5, "payload": {"page_content": "x"}}
RECORD = {"id": 1, "payload": {}}
DONE = {"operation_id": 1, "status": "completed"}


CASES = {
    "no answer to a query": (
        "POST /points/query/batch",
        [],
        lambda notes: notes.search("money"),
        "0 answers to 1 queries",
    ),
    "one answer to two queries": (
        "POST /points/query/batch",
        [{"points": []}],
        lambda notes: notes.search_many(["money", "cat"]),
        "1 answers to 2 queries",
    ),
    "two answers to a query": (
        "POST /points/query/batch",
        [{"points": []}, {"points": []}],
        lambda notes: notes.search("money"),
        "2 answers to 1 queries",
    ),
    "more points than asked for": (
        "POST /points/query/batch",
        [{"points": [POINT] * 3}],
        lambda notes: notes.search("money", k=2),
        "3 points, and at most 2 were asked for",
    ),
    "more points in hybrid search": (
        "POST /points/query/batch",
        [{"points": [POINT] * 51}, {"points": []}],
        lambda notes: notes.hybrid_search("money", k=2),
        "51 points, and at most 50 were asked for",
    ),
    "more records than ids": (
        "POST /points",
        [RECORD] * 9,
        lambda notes: notes.index(DOCUMENTS),
        "9 points, and at most 4 were asked for",
    ),
    "a negative count": ("POST /points/count", {"count": -2}, lambda n: n.count(), "count of -2"),
    "a negative count of a value": (
        "POST /facet",
        {"hits": [{"value": "a", "count": -1}]},
        lambda notes: notes.client.facet("notes", "metadata.lang"),
        "count of -1",
    ),
    "more values than asked for": (
        "POST /facet",
        {"hits": [{"value": "a", "count": 1}, {"value": "b", "count": 1}]},
        lambda notes: notes.client.facet("notes", "metadata.lang", limit=1),
        "2 values, and at most 1",
    ),
    "more groups than asked for": (
        "POST /points/query/groups",
        {"groups": [{"id": "a", "hits": []}, {"id": "b", "hits": []}]},
        lambda notes: notes.client.query_points_groups("notes", "metadata.lang", limit=1),
        "2 groups, and at most 1",
    ),
    "a larger group than asked for": (
        "POST /points/query/groups",
        {"groups": [{"id": "a", "hits": [POINT] * 4}]},
        lambda notes: notes.client.query_points_groups("notes", "metadata.lang", group_size=3),
        "4 points of a group, and at most 3",
    ),
    "a page that is its own next one": (
        "POST /points/scroll",
        {"points": [RECORD], "next_page_offset": 7},
        lambda notes: notes.adopt(),
        "next one would begin at 7 again",
    ),
    "an empty page that is not the last": (
        "POST /points/scroll",
        {"points": [], "next_page_offset": 7},
        lambda notes: notes.sync(DOCUMENTS),
        "does not lead on",
    ),
    "no result of an operation": (
        "POST /points/batch",
        [],
        lambda notes: notes.client.batch_update_points(
            "notes",
            [models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter()))],
        ),
        "0 answers to 1 operations",
    ),
}


@pytest.mark.parametrize(("asked", "result", "call", "message"), CASES.values(), ids=CASES)
def test_an_answer_that_does_not_fit_is_an_error(qdrant, model, asked, result, call, message):
    with DocumentCollection.open(qdrant.url, "notes", model) as notes:
        notes.index(DOCUMENTS)
        body = {"result": result, "status": "ok", "time": 0.0}
        qdrant.fail(asked, Answer(body=json.dumps(body).encode()))
        with pytest.raises(CollectionError, match=rf"at {qdrant.url} .*{message}.*Check the URL"):
            call(notes)


def test_fewer_points_than_asked_for_are_all_that_there_are(qdrant, model):
    with DocumentCollection.open(qdrant.url, "notes", model) as notes:
        notes.index(DOCUMENTS)
        assert [len(hits) for hits in notes.search_many(["money", "cat", "x"], k=5)] == [2, 2, 2]
