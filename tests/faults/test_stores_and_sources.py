"""What a framework's store adds and what a source holds are two documents, even under one id."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from uuid import uuid4

import pytest
from llama_index.core.schema import TextNode
from qdrant_client import models

from llm2vec_gen_rag.qdrant import Document, IndexReport
from llm2vec_gen_rag.qdrant.lent import stores_client
from llm2vec_gen_rag.qdrant.writing import as_read, beside

YEN = Document("The yen is the money of Japan.", id="yen", metadata={"lang": "en"})
WON = dataclasses.replace(YEN, text="The won is the money of Korea.")
NAMELESS = Document(YEN.text)
UNCHANGED = IndexReport(unchanged=1)


def texts(collection):
    return sorted(hit.text for hit in collection.search("money", k=99))


def add_with_langchain(collection, name, text, metadata):
    collection.as_langchain().add_texts([text], [metadata], ids=[name])


def add_with_llama_index(collection, name, text, metadata):
    node = TextNode(id_=name, text=text, metadata=metadata)
    node.embedding = collection.model.encode_document(text).tolist()
    collection.as_llama_index().add([node])


async def add_awaited(collection, name, text, metadata):
    node = TextNode(id_=name, text=text, metadata=metadata)
    node.embedding = collection.model.encode_document(text).tolist()
    await collection.as_llama_index().async_add([node])


def point(collection, name, text, metadata):
    payload = {"page_content": text, "metadata": metadata}
    vector = collection.model.encode_document(text).tolist()
    return models.PointStruct(id=name, vector=vector, payload=payload)


def add_in_a_batch(collection, *given):
    upsert = models.PointsList(points=[point(collection, *given)])
    operation = models.UpsertOperation(upsert=upsert)
    assert len(collection.client.batch_update_points("notes", [operation])) == 1


def upload(collection, *given):
    collection.client.upload_points("notes", [point(collection, *given)])


ADDITIONS = [add_with_langchain, add_with_llama_index, add_in_a_batch, upload]


@pytest.fixture(params=ADDITIONS)
def add(request, collection):
    """Add a document in one of the ways that are no source's."""

    def add_document(document, text=None):
        name = document.id or document.point_id
        request.param(collection, name, text or document.text, dict(document.metadata))

    return add_document


@pytest.fixture(params=["local", "server"])
def place(request, monkeypatch):
    """Write as to a folder, under its lock, and as to a server, under conditions."""
    if request.param == "server":
        for module in (as_read, beside):
            monkeypatch.setattr(module, "is_local", lambda client: False)


@pytest.mark.parametrize("document", [YEN, NAMELESS])
@pytest.mark.parametrize("text", ["The won.", None])
@pytest.mark.parametrize("order", ["store first", "source first"])
def test_a_store_and_a_source_with_one_id_keep_a_document_each(
    collection, add, document, text, order
):
    steps = [lambda: add(document, text), lambda: collection.sync([document], source="A")]
    for step in steps if order == "store first" else reversed(steps):
        step()
    both = sorted([document.text, text or document.text])
    for _ in range(2):
        assert texts(collection) == both
        assert collection.sync([document], source="A") == UNCHANGED
        add(document, text)
    assert collection.index([document], source="B") == UNCHANGED
    assert collection.sync([], source="A") == IndexReport()
    assert texts(collection) == both
    assert collection.sync([], source="B") == IndexReport(removed=1)
    assert texts(collection) == [text or document.text]


@pytest.mark.parametrize("order", ["store first", "source first"])
def test_a_store_replaces_and_deletes_its_own_beside_a_sources(collection, add, order):
    if order == "store first":
        add(YEN, "one")
    collection.sync([YEN], source="A")
    for text in ("one", "two"):
        add(YEN, text)
        assert texts(collection) == sorted([YEN.text, text])
    assert collection.sync([WON], source="A") == IndexReport(replaced=1)
    assert texts(collection) == sorted([WON.text, "two"])
    collection.as_langchain().delete(["yen"])  # an id, and all that has it
    assert texts(collection) == []
    for report in (IndexReport(added=1), UNCHANGED):
        assert collection.sync([WON], source="A") == report
    assert texts(collection) == [WON.text]


async def test_the_awaited_twin_adds_beside_a_sources(collection):
    collection.sync([YEN], source="A")
    await add_awaited(collection, "yen", "one", {})
    assert texts(collection) == sorted([YEN.text, "one"])
    assert collection.sync([YEN], source="A") == UNCHANGED


def test_what_a_store_has_beside_a_sources_is_read_and_deleted_by_its_id(collection):
    collection.index([YEN])
    add_with_llama_index(collection, "yen", "one", {"lang": "en"})
    assert {hit.id for hit in collection.search("money")} == {"yen"}
    store, nodes = collection.as_langchain(), collection.as_llama_index()
    assert {d.page_content for d in store.get_by_ids(["yen"])} == {YEN.text, "one"}
    nodes.delete_nodes(["yen"])
    assert collection.count() == 0


@pytest.mark.parametrize("change", [{"lang": "de"}, None])
def test_a_point_that_is_written_back_stays_a_sources_if_it_is_as_it_was(collection, change):
    collection.index([YEN], source="A")
    (record,) = collection.client.retrieve("notes", ["yen"], with_vectors=True)
    payload = dict(record.payload)
    if change:
        del payload["_node_content"]
        payload["metadata"] = change
    back = models.PointStruct(id=record.id, vector=record.vector, payload=payload)
    for _ in range(2):
        collection.client.upsert("notes", [back])
        assert collection.sync([YEN], source="A") == UNCHANGED
    metadata = [hit.metadata for hit in collection.search("money")]
    assert [each for each in metadata if each != change] == [YEN.metadata]
    assert len(metadata) == (2 if change else 1)


def test_an_upsert_keeps_the_condition_of_its_caller(collection):
    nowhere = models.Filter(must=[models.HasIdCondition(has_id=[str(uuid4())])])
    for text in ("one", "two"):
        points = [point(collection, "yen", text, {})]
        collection.client.upsert("notes", points, update_filter=nowhere)
    assert texts(collection) == ["one"]


@pytest.mark.parametrize("first", [None, "one"])
def test_a_source_that_comes_between_a_stores_reading_and_writing_stays(
    collection, monkeypatch, first
):
    if first:
        add_with_langchain(collection, "yen", first, {})
    placed, pending = stores_client._placed, [collection]

    def interrupted(*arguments):
        if pending:
            pending.pop().delete(["yen"])
            collection.sync([YEN], source="A")
        return placed(*arguments)

    monkeypatch.setattr(stores_client, "_placed", interrupted)
    add_with_langchain(collection, "yen", "two", {})
    assert texts(collection) == sorted([YEN.text, "two"])
    assert collection.sync([YEN], source="A") == UNCHANGED


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("through", ["own", "lent"])
def test_a_copy_of_a_point_under_another_id_is_no_sources(collection, through):
    collection.sync([YEN], source="A")
    client = collection._client if through == "own" else collection.client
    records, _ = collection.client.scroll("notes", with_vectors=True)
    copies = [
        models.PointStruct(id=str(uuid4()), vector=record.vector, payload=record.payload)
        for record in records
    ]
    client.upsert("notes", copies)
    assert collection.sync([YEN], source="A") == UNCHANGED
    assert collection.sync([WON], source="A") == IndexReport(replaced=1)
    assert texts(collection) == sorted([YEN.text, WON.text])
    assert collection.sync([], source="A") == IndexReport(removed=1)
    assert texts(collection) == [YEN.text]
    collection.delete(["yen"])
    assert collection.count() == 0


def test_a_store_writes_over_a_copy_that_lies_under_its_id(collection):
    collection.sync([YEN], source="A")
    (record,), _ = collection.client.scroll("notes", with_vectors=True)
    copy = models.PointStruct(id=str(uuid4()), vector=record.vector, payload=record.payload)
    collection._client.upsert("notes", [copy])
    add_with_langchain(collection, copy.id, "one", {})
    assert texts(collection) == sorted([YEN.text, "one"])


# --- any sequence

IDS = ("a", "b", "c", None)
CONTENTS = ("one", "two", "three")


class Expected:
    """What a collection is to hold: plain sets of documents, by who gave them."""

    def __init__(self):
        self.sources = {"A": {}, "B": {}, "C": {}}
        self.store = {}

    def delete(self, name):
        self.store.pop(name, None)
        for held in self.sources.values():
            held.pop(name, None)

    def hits(self):
        """Alike documents of sources are one; a store's are its own."""
        of_sources = {pair for held in self.sources.values() for pair in held.items()}
        return Counter([*of_sources, *self.store.items()])


def some_documents(generator):
    """Documents, by their ids; without an id, the text is the name."""
    chosen = [name for name in IDS if generator.random() < 0.6]
    contents = {name: generator.choice(CONTENTS) for name in chosen}
    return {
        name or Document(text).point_id: Document(text, id=name, metadata={"n": 1} if name else {})
        for name, text in contents.items()
    }


def step(collection, expected, generator, last):
    """Do one random thing to the collection, and the same to what is expected of it."""
    kind = generator.choice(["sync", "sync", "sync", "index", "add", "add", "delete"])
    documents = some_documents(generator)
    contents = {name: document.text for name, document in documents.items()}
    if kind in ("sync", "index"):
        source = generator.choice("AB") if kind == "sync" else "C"
        getattr(collection, kind)(documents.values(), source=source, batch_size=2)
        held = expected.sources[source]
        expected.sources[source] = contents if kind == "sync" else held | contents
        last[source] = documents if kind == "sync" else last.get(source, {}) | documents
    elif kind == "add":
        add = generator.choice(ADDITIONS)
        for name, document in documents.items():
            add(collection, name, document.text, dict(document.metadata))
        expected.store |= contents
    else:
        delete = generator.choice([collection.delete, collection.as_langchain().delete])
        name = generator.choice([*IDS[:3], Document(generator.choice(CONTENTS)).point_id])
        delete([name])
        expected.delete(name)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("seed", range(4))
def test_after_any_sequence_everything_given_is_found_and_every_source_is_settled(collection, seed):
    generator, expected, last = random.Random(seed), Expected(), {}
    for _ in range(60):
        step(collection, expected, generator, last)
        found = Counter((hit.id, hit.text) for hit in collection.search("x", k=99))
        assert found == expected.hits()
    given = {s: {n: d.text for n, d in documents.items()} for s, documents in last.items()}
    settled = {source for source in given if expected.sources[source] == given[source]}
    for _ in range(2):  # what was deleted by its id is added again, once
        for source, documents in last.items():
            report = collection.sync(documents.values(), source=source)
            assert source not in settled or report == IndexReport(unchanged=len(documents))
        settled = set(last)
    expected.sources = given
    found = Counter((hit.id, hit.text) for hit in collection.search("x", k=99))
    assert found == expected.hits()
