"""Points that another client wrote, which no framework would: one rule wherever they are met."""

from __future__ import annotations

import json

import pytest
from llama_index.core import VectorStoreIndex
from qdrant_client import models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

NODE = "_node_content"
MALFORMED = {
    "text a number": {"page_content": 5},
    "metadata a number": {"page_content": "x", "metadata": 5},
    "metadata a list": {"page_content": "x", "metadata": [1]},
    "stamp a list": {"page_content": "x", "_llm2vec_gen": [1]},
    "id a mapping": {"page_content": "x", "_llm2vec_gen": {"id": {"a": 1}}},
    "node no JSON": {NODE: "{", "page_content": "x"},
    "node a number": {NODE: 3, "page_content": "x"},
    "node's id a number": {NODE: '{"id_": 5, "text": "x"}'},
    "node's metadata a list": {NODE: '{"id_": "a", "text": "x", "metadata": [1]}'},
    "node without an id beside a number": {NODE: '{"text": "x"}', "page_content": 5},
    "node without an id beside metadata 5": {NODE: "{}", "page_content": "x", "metadata": 5},
}
GOOD = {"text": "t", "content": "c", "sources": [{"source": "S", "file": ""}], "state": "s"}
STAMPS = {
    "content alone": {"content": "c"},
    "no holders": {**GOOD, "sources": None},
    "holders a mapping": {**GOOD, "sources": {"source": "S"}},
    "a holder without a file": {**GOOD, "sources": [{"source": "S"}]},
    "a holder without a source": {**GOOD, "sources": [{"file": ""}]},
    "a holder a string": {**GOOD, "sources": ["S"]},
    "a source that is a number": {**GOOD, "sources": [{"source": 5, "file": ""}]},
    "a file that is a list": {**GOOD, "sources": [{"source": "S", "file": []}]},
    "files of two kinds": {
        **GOOD,
        "sources": [{"source": "S", "file": 1}, {"source": "S", "file": ""}],
    },
    "a text that is a list": {**GOOD, "text": []},
    "a content that is a mapping": {**GOOD, "content": {}},
    "a state that is a number": {**GOOD, "state": 5},
    "a state that is a list": {**GOOD, "state": ["s"]},
    "a state that is a mapping": {**GOOD, "state": {"s": 1}},
}


@pytest.fixture
def collection(collection_on_own_client):
    return collection_on_own_client


def write_raw(collection: DocumentCollection, point: int | str, payload: dict) -> None:
    vector = collection.model.encode_document("x").tolist()
    collection.raw.upsert("notes", [models.PointStruct(id=point, vector=vector, payload=payload)])


def readers(collection: DocumentCollection) -> dict:
    langchain, llama_index = collection.as_langchain(), collection.as_llama_index()
    index = VectorStoreIndex.from_vector_store(
        llama_index, embed_model=LLM2VecGenEmbedding(model=collection.model)
    )
    return {
        "search": lambda: collection.search("x"),
        "search_many": lambda: collection.search_many(["x"]),
        "hybrid_search": lambda: collection.hybrid_search("x"),
        "adopt": collection.adopt,
        "similarity_search": lambda: langchain.similarity_search("x"),
        "max_marginal_relevance": lambda: langchain.max_marginal_relevance_search("x"),
        "get_by_ids": lambda: langchain.get_by_ids([5]),
        "retrieve": lambda: index.as_retriever().retrieve("x"),
        "get_nodes": lambda: llama_index.get_nodes([5]),
    }


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_payload_is_named_by_whatever_reads_it(collection, payload):
    write_raw(collection, 5, payload)
    by_id = {"get_by_ids", "get_nodes"} if isinstance(payload.get("_llm2vec_gen"), dict) else {}
    for name, read in readers(collection).items():
        if name in by_id:  # it has no readable id to be found by
            continue
        with pytest.raises(CollectionError, match=r"collection 'notes': point '5' has a malformed"):
            read()
    collection.raw.delete("notes", [5])
    collection.index([Document("x", id="x")])
    for read in readers(collection).values():
        read()


def test_the_remedy_of_a_malformed_payload_deletes_it(collection):
    write_raw(collection, 5, {"page_content": 5})
    with pytest.raises(CollectionError, match=r"Delete it: collection.client.delete\('notes', \[5"):
        collection.search("x")
    collection.client.delete("notes", [5])
    assert collection.search("x") == []


@pytest.mark.parametrize("payload", [{}, {"page_content": None}, {"metadata": {"a": 1}}])
def test_a_point_without_a_text_has_an_empty_one(collection, payload):
    write_raw(collection, 5, payload)
    read = readers(collection)
    assert [hit.text for hit in read["search"]()] == [""]
    assert [each.get_content() for each in read["retrieve"]()] == [""]
    assert [each.page_content for each in read["similarity_search"]()] == [""]
    assert read["adopt"]() == 0


@pytest.mark.parametrize("name", ["page_content", "metadata"])
def test_metadata_of_a_halfs_name_is_no_half_in_either_store(collection, name):
    node = {"id_": "a", "text": "x", "metadata": {name: 5}, "class_name": "TextNode"}
    write_raw(collection, 5, {NODE: json.dumps(node), "_node_type": "TextNode", name: 5})
    (document,), (scored,) = (readers(collection)[r]() for r in ("similarity_search", "retrieve"))
    assert (document.page_content, document.metadata[name]) == ("x", 5)
    assert (scored.node.get_content(), scored.node.metadata) == ("x", {name: 5})


def test_what_cannot_be_completed_is_a_collections_error(collection):
    node = '{"id_": "a", "text": "x", "metadata": {}}'
    write_raw(collection, 5, {NODE: node, "page_content": "another"})
    with pytest.raises(CollectionError, match=r"'notes'.*point 5 has another 'page_content'"):
        collection.adopt()


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_a_point_with_a_malformed_stamp_is_a_strangers(collection, stamp):
    document, other = Document("ours", id="ours"), Document("other", id="other")
    strange = {"page_content": "strange", "metadata": {}, "_llm2vec_gen": stamp}
    for point in (document.point_id, 5):
        write_raw(collection, point, strange)
    everything = ["other", "ours", "strange", "strange"]

    def texts() -> list[str]:
        return sorted(hit.text for hit in collection.search("x", k=100))

    assert collection.sync([document, other], source="S").added == 2
    assert texts() == everything
    assert collection.sync([document, other], source="S").unchanged == 2
    assert collection.index([document], source="T").unchanged == 1
    assert collection.sync([], source="S").removed == 1  # the other source still has one
    assert collection.sync([], source="T").removed == 1
    assert texts() == ["strange", "strange"]
    # stores see a document of their own kind, which they replace
    collection.as_langchain().add_texts(["LangChain's"], ids=["ours"])
    collection.client.upsert("notes", [_point(collection, 5)])
    assert texts() == ["LangChain's", "the user's"]
    collection.delete(["ours", "5"])
    assert collection.count() == 0


def _point(collection: DocumentCollection, point: int) -> models.PointStruct:
    vector = collection.model.encode_document("x").tolist()
    return models.PointStruct(id=point, vector=vector, payload={"page_content": "the user's"})
