"""`adopt`: a collection that LangChain's store wrote, embedded anew and compared."""

from __future__ import annotations

import json

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

OLD = DeterministicFakeEmbedding(size=6)
TEXTS = ["Polar bears live in the Arctic.", "The yen is money.", "A cat sleeps."]


@pytest.fixture
def options(tmp_path, model_options):
    client = QdrantClient(path=str(tmp_path / "store"))
    vectors = models.VectorParams(size=6, distance=models.Distance.COSINE)
    client.create_collection("kb", vectors_config=vectors)
    QdrantVectorStore(client, "kb", OLD).add_texts(TEXTS, ids=[1, 2, 3])
    client.close()
    return ["--store", tmp_path / "store", "--collection", "kb", *model_options]


def test_a_collection_is_adopted_and_both_searches_are_shown(run, run_json, options, tmp_path):
    assert run_json("adopt", *options) == {
        "embedded": 3,
        "unchanged": 0,
        "without_text": 0,
        "truncated": 0,
        "comparisons": [],
    }
    queries = tmp_path / "queries.jsonl"
    row = {"query": "what is money?", "vector": OLD.embed_query("what is money?")}
    queries.write_text(json.dumps(row) + "\n")
    code, out, _ = run("adopt", "--queries", queries, "-k", "2", *options)
    assert code == 0
    assert out.startswith("0 points embedded, 3 had a vector 'llm2vec-gen', 0 have no text\n")
    assert "\nwhat is money?\nold " in out
    assert "of 2 hits are in both rankings, on average" in out
    (both,) = run_json("adopt", "--queries", queries, *options)["comparisons"]
    assert {hit["id"] for hit in both["old"]} == {hit["id"] for hit in both["new"]} == set("123")


def test_queries_need_the_old_vectors_and_a_collection_that_is_there(run, options, tmp_path):
    queries = tmp_path / "queries.txt"
    queries.write_text("money\n")
    broken = tmp_path / "queries.jsonl"
    broken.write_text('{"query": "money", "vector": "x"}\n')
    for given, message in (
        (["--queries", queries], "nothing says how to embed the queries"),
        (["--queries", broken], "line 1 has 'x' for \"vector\"; expected a list of numbers"),
        (["--old-model", "m"], "--old-model is for --queries FILE"),
        (["--collection", "other"], "no collection 'other' to adopt; found kb"),
    ):
        code, out, err = run("adopt", *options, *given)
        assert (code, out) == (1, "")
        assert message in err
