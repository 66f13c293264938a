"""Slips in calls of a collection and of its stores: an error of ours, before anything is done."""

from __future__ import annotations

import re

import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.indexing import index as langchain_index
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, Hit

DOCUMENT = Document("The yen is the money of Japan.", id="yen")
HIT = Hit("yen", 0.5, "text", {})
NUMBERS = [0, -1, "3", True, 1.5, None]
SLIPS = {
    "search": [None, [], ["x"], 7, b"x"],
    "hybrid_search": [None, [], ["x"], 7, b"x"],
    "search_many": [None, "x", b"x", 7, [None], [["x"]], {"x": 1}, DOCUMENT],
    "index": [None, DOCUMENT, "text", b"x", 7, {"text": "x"}, ["text"], [None], [{"text": "x"}]],
    "sync": [None, DOCUMENT, "text", b"x", 7, {"text": "x"}, ["text"], [None]],
    "delete": [None, "yen", b"x", 7, {"yen": 1}, HIT, [None], [7], [HIT], [["yen"]]],
    "get": [None, "yen", b"x", 7, {"yen": 1}, HIT, [None], [7], [HIT], [["yen"]]],
    "delete_where": [None, "yen", ["yen"], 7, {"lang": {}}, {7: "x"}],
    "export": [None, 7, "notes", "notes.json"],
}


@pytest.fixture
def written(collection):
    collection.index([DOCUMENT])
    return collection


def refuses(call, *args, **kwargs) -> str:
    """Return the message of the ValueError, which says what was expected."""
    with pytest.raises(ValueError, match="expected") as refused:
        call(*args, **kwargs)
    assert type(refused.value) is ValueError
    return str(refused.value)


@pytest.mark.parametrize("method", SLIPS)
def test_each_slip_is_refused_with_what_was_expected(written, method):
    for given in SLIPS[method]:
        message = refuses(getattr(written, method), given)
        names = ("query", "queries", "documents", "ids", "got a ", "filter", "path")
        assert message.startswith(names), message
    assert {hit.id for hit in written.search("x")} == {"yen"}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_hits_or_documents_is_at_least_one(written, number):
    for call, name in (
        (lambda: written.search("x", number), "k"),
        (lambda: written.search_many(["x"], number), "k"),
        (lambda: written.hybrid_search("x", number), "k"),
        (lambda: written.index([DOCUMENT], batch_size=number), "batch_size"),
        (lambda: written.sync([DOCUMENT], batch_size=number), "batch_size"),
    ):
        assert refuses(call).startswith(f"{name} is {number!r}; expected an integer of at least 1")


def test_a_model_is_a_loaded_one_and_a_client_is_a_client(model):
    for given in (None, "almanac", LLM2VecGenEmbedding(model=model)):
        message = refuses(DocumentCollection.open, ":memory:", "notes", given)
        assert "from_pretrained" in message
        refuses(DocumentCollection, QdrantClient(":memory:"), "notes", given)
    for given in (None, "folder", AsyncQdrantClient(":memory:")):
        assert "DocumentCollection.open" in refuses(DocumentCollection, given, "notes", model)


def test_langchains_store_deletes_a_list_of_ids(written):
    store = written.as_langchain()
    assert "To delete every document" in refuses(store.delete)
    for given in ("yen", b"x", 7, [None], [7.5], [True], {"yen": 1}):
        assert refuses(store.delete, given).startswith("ids")
    for given in ("yen", None, [None]):
        assert refuses(store.get_by_ids, given).startswith("ids")
    assert written.count() == 1
    assert store.delete(["nowhere"])  # False would be a failure
    assert store.delete(["yen", "nowhere"])
    assert written.count() == 0


@pytest.mark.parametrize("number", [0, -1, "3", True])
def test_langchains_store_adds_in_batches_of_at_least_one(written, number):
    store = written.as_langchain()
    assert refuses(store.add_texts, ["x"], batch_size=number).startswith("batch_size is")
    for texts in (None, "x", b"x", 7):
        refuses(store.add_texts, texts)
    for options in ({"ids": "y"}, {"ids": [b"y"]}, {"metadatas": {"a": 1}}, {"metadatas": ["a"]}):
        refuses(store.add_texts, ["x"], **options)
    assert written.count() == 1


@pytest.mark.parametrize("given", [None, "x", LangChainDocument("x"), 7, ["x"], [None], [DOCUMENT]])
async def test_langchains_store_adds_a_list_of_its_documents(written, given):
    store = written.as_langchain()
    assert refuses(store.add_documents, given).startswith("documents")
    with pytest.raises(ValueError, match=r"^documents.* expected a"):
        await store.aadd_documents(given)
    assert written.count() == 1
    assert store.add_documents([]) == await store.aadd_documents([]) == []
    assert await store.aadd_documents([LangChainDocument("x", id="x")]) == ["x"]
    assert store.add_documents(iter([LangChainDocument("y", id="y")])) == ["y"]


@pytest.mark.parametrize("given", [None, 7, ["yen"]])
async def test_llama_index_deletes_the_nodes_of_one_document(written, given):
    store = written.as_llama_index()
    assert refuses(store.delete, given).startswith("ref_doc_id is a")
    with pytest.raises(ValueError, match=r"^ref_doc_id is a .* expected a str"):
        await store.adelete(given)
    assert written.count() == 1
    store.delete("yen")
    assert written.count() == 0


@pytest.mark.parametrize("operator", ["==", "!=", "in", "nin", ">", "text_match"])
async def test_a_filter_of_llama_index_has_a_value(written, operator):
    store = written.as_llama_index()
    one = MetadataFilter(key="n", value=None, operator=FilterOperator(operator))
    alone = MetadataFilters(filters=[one])
    for filters in (alone, MetadataFilters(filters=[alone])):
        for call in (store.get_nodes, store.delete_nodes):
            assert "IS_EMPTY" in refuses(call, filters=filters)
        with pytest.raises(ValueError, match=r"^filter 'n' has the value None; expected"):
            await store.adelete_nodes(filters=filters)
    assert written.count() == 1
    empty = MetadataFilter(key="n", value=None, operator=FilterOperator.IS_EMPTY)
    store.delete_nodes(filters=MetadataFilters(filters=[empty]))
    assert written.count() == 0


@pytest.mark.parametrize(("operator", "value"), [("==", ["a"]), (">", "a"), ("!=", 1.5)])
def test_a_filter_of_llama_index_is_one_that_qdrant_can_look_for(written, operator, value):
    one = MetadataFilter(key="n", value=value, operator=FilterOperator(operator))
    filters = MetadataFilters(filters=[one])
    for call in (written.as_llama_index().get_nodes, written.as_llama_index().delete_nodes):
        assert refuses(call, filters=filters).startswith("filters are [MetadataFilter(key='n'")
    assert written.count() == 1


def test_a_filter_of_the_client_is_one_of_qdrants(written):
    condition = models.FieldCondition(key="metadata.n", match=models.MatchValue(value=1))
    for given in ({"lang": "en"}, [condition], condition, "lang"):
        for ask in (
            lambda where: written.as_langchain().similarity_search("x", filter=where),
            lambda where: written.client.scroll("notes", where),
            lambda where: written.client.count("notes", count_filter=where),
        ):
            assert 'key="metadata.lang"' in refuses(ask, given)


@pytest.mark.parametrize("given", ["yen", b"x", 7, [None], [7.5], {"yen": 1}])
async def test_llama_index_gets_and_deletes_nodes_by_a_list_of_ids(written, given):
    store = written.as_llama_index()
    for call in (store.get_nodes, store.delete_nodes):
        assert refuses(call, given).startswith("node_ids")
        assert refuses(call, node_ids=given).startswith("node_ids")
    for call in (store.aget_nodes, store.adelete_nodes):
        with pytest.raises(ValueError, match=r"^node_ids.* expected a"):
            await call(given)
    assert written.count() == 1


def test_langchains_index_cleans_up_what_is_gone_already(collection):
    records, store = InMemoryRecordManager("notes"), collection.as_langchain()
    records.create_schema()
    options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    document = LangChainDocument("text", metadata={"source": "a"})
    langchain_index([document], records, store, **options)
    store.delete([collection.search("x")[0].id])
    assert langchain_index([], records, store, **options)["num_deleted"] == 1


def test_what_the_lent_client_is_given_is_refused_by_its_name(written):
    client = written.client
    for given in (None, "yen", 7, {"yen": 1}, [None], models.HasIdCondition(has_id=["yen"])):
        assert refuses(client.delete, "notes", given).startswith("points_selector")
        assert refuses(client.retrieve, "notes", given).startswith("ids")
    point = models.PointStruct(id="a", vector=[1.0], payload={"page_content": "x"})
    for given in (None, "yen", 7, {"id": 1}, point, models.PointsList(points=[point])):
        for write in (client.upsert, client.upload_points):
            assert refuses(write, "notes", given).startswith("points is a")
    assert written.count() == 1


# --- what would not come back as it was

NAN = float("nan")
BAD = {
    "a lone surrogate": ("a\ud800b", {}),
    "a lone surrogate in the metadata": ("x", {"name": "\udfff"}),
    "a lone surrogate in a name": ("x", {"\udfff": 1}),
    "NaN": ("x", {"score": NAN}),
    "infinity": ("x", {"deep": [{"score": float("-inf")}]}),
    "a name that is an integer": ("x", {"deep": {1: "one"}}),
    "an object": ("x", {"when": object()}),
    "too deep": ("x", {"deep": [[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]] * 5}),
}
for _ in range(70):
    BAD["too deep"][1]["deep"] = {"deep": BAD["too deep"][1]["deep"]}


@pytest.mark.parametrize(("text", "metadata"), BAD.values(), ids=BAD)
def test_what_a_document_cannot_hold_no_store_takes(collection, text, metadata):
    with pytest.raises(ValueError, match="document 'bad'"):
        Document(text, id="bad", metadata=metadata)
    store = collection.as_langchain()
    texts, metadatas = ["good", text], [{"n": 1}, metadata]
    for add in (store.add_texts, store.from_texts):
        options = {"embedding": store.embeddings, "location": ":memory:"}
        with pytest.raises(ValueError, match=r"^(texts|metadatas)\[1\] "):
            add(texts, metadatas=metadatas, **(options if add == store.from_texts else {}))
    documents = [LangChainDocument(t, metadata=m) for t, m in zip(texts, metadatas, strict=True)]
    with pytest.raises(ValueError, match=r"^(texts|metadatas)\[1\] "):
        store.add_documents(documents)
    point = models.PointStruct(
        id="bad",
        vector=[1.0] * collection.model.dimension,
        payload={"page_content": text, "metadata": metadata},
    )
    with pytest.raises(ValueError, match="point 'bad'"):
        collection.client.upsert("notes", [point])
    assert collection.count() == 0


@pytest.mark.parametrize("name", BAD)
async def test_what_a_document_cannot_hold_llama_index_cannot_add(collection, name):
    text, metadata = BAD[name]
    nodes = [TextNode(id_="good", text="good"), TextNode(id_="bad", text=text)]
    nodes[1].metadata.update(metadata)
    for node in nodes:
        node.embedding = [1.0] * collection.model.dimension
    store = collection.as_llama_index()
    with pytest.raises(ValueError, match=r"^(text|metadata) of node 'bad'"):
        store.add(nodes)
    with pytest.raises(ValueError, match=r"^(text|metadata) of node 'bad'"):
        await store.async_add(nodes)
    assert collection.count() == 0


@pytest.mark.parametrize("nodes", [None, "x", TextNode(text="x"), ["x"], [TextNode(text="x")]])
async def test_what_is_no_node_with_an_embedding_llama_index_cannot_add(collection, nodes):
    store = collection.as_llama_index()
    assert refuses(store.add, nodes).startswith("node")
    with pytest.raises(ValueError, match="expected"):
        await store.async_add(nodes)


def test_a_payload_beside_the_two_halves_is_checked_too(collection):
    for name, value in (("score", NAN), ("deep", {1: 2}), ("name", "\ud800"), ("\ud800", 1)):
        payload = {"page_content": "x", name: value}
        point = models.PointStruct(id="bad", vector=[1.0] * 4, payload=payload)
        with pytest.raises(ValueError, match="point 'bad'"):
            collection.client.upsert("notes", [point])


def test_dates_and_numbers_of_any_size_are_taken(collection):
    index = VectorStoreIndex.from_vector_store(
        collection.as_llama_index(), embed_model=LLM2VecGenEmbedding(model=collection.model)
    )
    metadata = {"big": 2**53, "small": 1e-300, "none": None, "list": [1, "a", True], "ü": "ü"}
    index.insert_nodes([TextNode(id_="a", text="x", metadata=metadata)])
    collection.as_langchain().add_texts(["x"], [metadata], ids=["b"])
    assert [hit.metadata for hit in collection.search("x")] == [metadata, metadata]
    assert re.fullmatch("[ab]", collection.search("x")[0].id)
