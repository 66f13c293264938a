"""Whose collection it is: reopened by its writer, refused to everyone else."""

from __future__ import annotations

import sqlite3

import pytest
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionMismatchError
from llm2vec_gen_rag.qdrant import DocumentCollection, IndexReport


def test_reopening_a_folder_finds_everything(tmp_path, model, documents):
    with DocumentCollection.open(tmp_path / "store", "notes", model) as collection:
        collection.index(documents)
        before = collection.search("Kyoto")
    with DocumentCollection.open(tmp_path / "store", "notes", model) as collection:
        assert collection.index(documents) == IndexReport(unchanged=5)
        after = collection.search("Kyoto")
        assert [hit.id for hit in after] == [hit.id for hit in before]
        assert after[0].score == pytest.approx(before[0].score, abs=1e-6)
        assert collection.hybrid_search("Kyoto", k=1)[0].id == "doc-3"


def test_a_folder_does_not_wait_for_the_disk_at_every_point(tmp_path, model):
    DocumentCollection.open(tmp_path, "notes", model).close()
    with sqlite3.connect(tmp_path / "collection/notes/storage.sqlite") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_model_is_refused_and_told_what_to_do(tmp_path, model, other_model):
    DocumentCollection.open(tmp_path, "notes", model).close()
    with pytest.raises(CollectionMismatchError) as refused:
        DocumentCollection.open(tmp_path, "notes", other_model)
    message = str(refused.value)
    assert repr(model.name) in message
    assert "Load that model" in message
    assert "another collection name" in message
    DocumentCollection.open(tmp_path, "notes", model).close()  # the refusal freed the folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "f" * 64}, "its fingerprint is 'ffff"),
        ({"document_instruction": "Passage: "}, "its document instruction is 'Passage: '"),
        ({"query_instructions": {"retrieval": "Q: "}}, "query instruction for 'retrieval'"),
        ({"format": 99}, "its format is 99"),
        # other words
        ({"format": 3}, "its format is 3, and this version reads 4. To use it, index your"),
        ({"revision": "v0", "dimension": 3}, "revision 'v0'.*its dimension is 3"),
    ],
)
def test_each_thing_that_changes_vectors_is_remembered(model, change, message):
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model)
    identity = client.get_collection("notes").config.metadata["llm2vec_gen"]
    client.delete_collection("notes")
    client.create_collection(
        "notes", vectors_config={}, metadata={"llm2vec_gen": identity | change}
    )
    with pytest.raises(CollectionMismatchError, match=message):
        DocumentCollection(client, "notes", model)


def test_a_model_under_another_name_and_with_other_tasks_is_the_same_model(model):
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model)
    identity = client.get_collection("notes").config.metadata["llm2vec_gen"]
    change = {"model": "moved/elsewhere", "query_instructions": {"chess": "Best move: "}}
    client.update_collection("notes", metadata={"llm2vec_gen": identity | change})
    DocumentCollection(client, "notes", model)


def test_a_collection_of_unknown_origin_is_refused(model):
    client = QdrantClient(":memory:")
    vectors = models.VectorParams(size=model.dimension, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config=vectors)
    with pytest.raises(CollectionMismatchError, match="does not say which model wrote it"):
        DocumentCollection(client, "theirs", model)


def test_two_collections_share_a_client(model, other_model, documents):
    client = QdrantClient(":memory:")
    one = DocumentCollection(client, "one", model)
    two = DocumentCollection(one.client, "two", other_model)
    one.index(documents[:2])
    two.index(documents[2:])
    assert (one.count(), two.count()) == (2, 3)
