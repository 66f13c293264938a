"""What a collection holds: got, listed, deleted by a filter, exported and read back, dropped."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from near_hits import near
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError, StorageError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, StoredDocument
from llm2vec_gen_rag.qdrant.points import pages
from llm2vec_gen_rag.qdrant.reading.folders import sync_path
from llm2vec_gen_rag.qdrant.reading.found_files import find_files

ODD = "\ufeff crlf\r\n tab\t  \u2028line\u0000 👩‍👩‍👧 \U000e0001 ﬁ \\n "


def held(collection):
    return sorted(collection.list(), key=lambda document: (document.id, document.text))


def restore(collection, path):
    found = find_files(path)
    return sync_path(
        collection, path, found, passage_characters=1000, allow_empty=False, show_progress=False
    )


@pytest.fixture
def other(model):
    with DocumentCollection.open(":memory:", "notes", model) as opened:
        yield opened


# --- reading


def test_documents_are_got_by_the_ids_of_their_hits_in_their_order(collection, documents):
    collection.index(documents, source="notes")
    collection.as_langchain().add_documents([LangChainDocument("seven")], ids=[7])
    got = collection.get(["7", "doc-3", "no such id", "doc-1"])
    assert [(d.id, d.text) for d in got] == [
        ("7", "seven"),
        ("doc-3", documents[3].text),
        ("doc-1", documents[1].text),
    ]
    assert got[1] == StoredDocument(
        "doc-3", documents[3].text, {"number": 3, "even": False}, ("notes",)
    )
    assert got[0].sources == ()


def test_one_id_of_two_sources_gets_both_documents(collection):
    for source in ("a", "b"):
        collection.index([Document(f"text of {source}", id="one")], source=source)
    assert {(d.text, d.sources) for d in collection.get(["one"])} == {
        ("text of a", ("a",)),
        ("text of b", ("b",)),
    }


def test_a_list_is_read_page_by_page_as_it_is_iterated(collection, documents, monkeypatch):
    monkeypatch.setattr(pages, "PAGE", 2)
    collection.index(documents)
    asked = []
    scroll = collection._client.scroll
    monkeypatch.setattr(
        collection._client, "scroll", lambda *a, **k: asked.append(1) or scroll(*a, **k), False
    )
    listed = collection.list()
    assert not asked
    next(listed)
    assert len(asked) == 1
    assert len([*listed]) == 4
    assert len(asked) == 3


def test_a_list_passes_the_filter_of_a_search(collection, documents):
    collection.index(documents)
    listed = {document.id for document in collection.list(filter={"even": True})}
    assert listed == {hit.id for hit in collection.search("x", filter={"even": True})}


# --- deleting


def test_a_filter_deletes_what_a_search_with_it_finds_and_counts_it(collection, documents):
    collection.index(documents)
    assert collection.delete_where({"even": True}) == 3
    assert {document.id for document in collection.list()} == {"doc-1", "doc-3"}
    assert collection.delete_where({"even": True}) == 0


@pytest.mark.parametrize(
    "where",
    [
        {},
        models.Filter(),
        models.Filter(must=[]),
        models.Filter(must=[models.Filter(should=[])]),
        {"number": []},
    ],
    ids=str,
)
def test_a_filter_without_conditions_deletes_nothing(collection, documents, where):
    collection.index(documents)
    assert collection.delete_where(where) == 0
    assert collection.count() == 5


def test_a_filter_that_an_empty_list_opens_to_everything_is_refused(collection, documents):
    collection.index(documents)
    opened = models.Filter(must_not=[models.HasIdCondition(has_id=[])])
    with pytest.raises(ValueError, match="through which every document passes"):
        collection.delete_where(opened)
    with pytest.raises(ValueError, match=r"filter is None.*drop the collection"):
        collection.delete_where(None)
    assert collection.count() == 5


def test_what_a_filter_deleted_its_source_adds_again(collection, documents):
    collection.sync(documents, source="notes")
    collection.delete_where({"number": 1})
    assert collection.sync(documents, source="notes").added == 1


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_a_dropped_collection_is_gone_and_can_be_created_anew(model, documents, tmp_path, place):
    in_memory = place == "memory"
    client = QdrantClient(":memory:") if in_memory else QdrantClient(path=str(tmp_path / "store"))
    collection = DocumentCollection(client, "notes", model)
    beside = DocumentCollection(client, "others", model)
    beside.index(documents)
    collection.index(documents)
    collection.drop()
    with pytest.raises(CollectionError, match="it was deleted after it was opened"):
        collection.search("x")
    assert DocumentCollection(client, "notes", model).count() == 0
    assert beside.count() == 5
    client.close()


def test_an_alias_is_not_dropped_nor_what_it_stands_for(model, documents):
    client = QdrantClient(":memory:")
    named = DocumentCollection(client, "notes", model)
    named.index(documents)
    create = models.CreateAlias(collection_name="notes", alias_name="current")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    with pytest.raises(CollectionError, match="not an alias"):
        DocumentCollection(client, "current", model).drop()
    assert named.count() == 5
    client.close()


# --- exporting


def test_an_export_has_every_byte_of_the_text_with_id_metadata_and_sources(collection, tmp_path):
    metadata = {"naïve name": [1, 2.5, None, {"deep": ODD}], "title": "kept apart"}
    collection.index([Document(ODD, id=f"id {ODD}", metadata=metadata)], source="notes")
    collection.index([Document("no id")], source="others")
    assert collection.export(tmp_path / "out.jsonl") == 2
    lines = (tmp_path / "out.jsonl").read_bytes().decode().strip("\n").split("\n")
    first, second = sorted(map(json.loads, lines), key=lambda row: row["id"] is None)
    assert first == {
        "id": f"id {ODD}",
        "text": ODD,
        "metadata": metadata,
        "_llm2vec_gen": {"sources": [{"source": "notes", "file": ""}]},
    }
    assert (second["id"], second["text"]) == (None, "no id")


def test_indexing_an_export_gives_the_same_collection(collection, other, documents, tmp_path):
    collection.index([*documents, Document("no id"), Document("no id", metadata={"a": 1})])
    collection.index([Document(ODD, id="doc-1"), documents[2]], source="b")
    collection.as_langchain().add_documents(
        [LangChainDocument("stores", metadata={"n": 1})], ids=[7]
    )
    collection.export(tmp_path / "out.jsonl")
    report = restore(other, tmp_path / "out.jsonl")
    assert report.documents.added == 9
    stores = [d for d in held(other) if d.sources == (str(tmp_path / "out.jsonl"),)]
    assert [(d.id, d.text, d.metadata) for d in stores] == [("7", "stores", {"n": 1})]
    assert [d for d in held(other) if d.id != "7"] == [d for d in held(collection) if d.id != "7"]
    there, here = (c.search("Japan", k=20) for c in (other, collection))
    assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here], abs=1e-6)
    again = restore(other, tmp_path / "out.jsonl")
    assert (again.documents.added, again.documents.replaced, again.documents.removed) == (0, 0, 0)
    assert other.sync(documents[:1]).removed == 5  # and the other source keeps its two


def test_an_export_in_a_folder_is_read_as_that_folders(collection, other, documents, tmp_path):
    collection.index(documents[:2], source="/etc")
    collection.export(tmp_path / "out.jsonl")
    restore(other, tmp_path)
    assert {d.sources for d in other.list()} == {(str(tmp_path / "out.jsonl"),)}
    assert {d.text for d in other.list()} == {d.text for d in documents[:2]}
    assert all(set(d.metadata) == {"number", "even"} for d in other.list())


def test_an_export_may_have_the_vectors_as_they_are_stored(collection, documents, tmp_path):
    collection.index(documents)
    assert collection.export(tmp_path / "out.jsonl", vectors=True, filter={"number": 3}) == 1
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    vector = np.array(json.loads(line)["_llm2vec_gen"]["vector"], dtype=np.float32)
    embedded = collection.model.encode_document(documents[3].text, max_length=512)
    assert vector == pytest.approx(embedded, abs=1e-6)


def test_a_note_of_sources_that_no_export_wrote_is_refused_by_its_line(collection, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "x", "_llm2vec_gen": {"sources": 7}}\n')
    with pytest.raises(ValueError, match=r"line 1: \"_llm2vec_gen\" is .* expected the sources"):
        restore(collection, tmp_path / "rows.jsonl")


def test_an_export_replaces_a_file_whole_or_not_at_all(collection, documents, tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("kept")
    collection.index(documents)
    collection.as_langchain().client._lender._wrapped.upsert(
        "notes",
        [
            models.PointStruct(
                id=9, vector=[0.0] * collection.model.dimension, payload={"page_content": 9}
            )
        ],
    )
    with pytest.raises(CollectionError, match="point '9' has a malformed payload"):
        collection.export(path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["kept"]
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(StorageError, match="a file that was there is whole"):
        collection.export(tmp_path / "folder.jsonl", filter={"number": 1})


@pytest.mark.parametrize("path", ["out.json", "out", None, 7])
def test_an_export_is_named_as_what_index_reads(collection, path):
    with pytest.raises(ValueError, match=r"expected the name of a file that ends in \.jsonl"):
        collection.export(path)


# --- awaiting


async def test_the_async_twins_return_what_the_methods_do(collection, documents, tmp_path):
    assert (await collection.aindex(documents, source="a")).added == 5
    assert (await collection.async_sync(documents[:4], source="a")).removed == 1
    hits = await asyncio.gather(*[collection.asearch(d.text, k=1) for d in documents])
    assert hits == [near(collection.search(d.text, k=1)) for d in documents]
    assert (await collection.asearch_many(["x"], 2))[0] == near(collection.search("x", 2))
    assert await collection.ahybrid_search("yen", k=2) == near(collection.hybrid_search("yen", k=2))
    assert await collection.aget(["doc-1"]) == collection.get(["doc-1"])
    assert [d async for d in collection.alist()] == [*collection.list()]
    assert await collection.aexport(tmp_path / "out.jsonl") == await collection.acount() == 4
    await collection.adelete(["doc-1"])
    assert await collection.adelete_where({"even": True}) == 2
    assert await collection.aadopt() == 0
    await collection.adrop()
    with pytest.raises(CollectionError, match="it was deleted"):
        await collection.acount()


def test_an_async_twin_has_the_arguments_and_a_name_of_its_own():
    assert DocumentCollection.asearch.__name__ == "asearch"
    assert "`search`" in DocumentCollection.asearch.__doc__
