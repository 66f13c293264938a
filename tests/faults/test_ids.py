"""Any string is an id: it comes back, finds and deletes; and what is written is whole."""

from __future__ import annotations

import hashlib
from itertools import count
from uuid import UUID, uuid4

import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.indexing import index as langchain_index
from llama_index.core import Document as LlamaDocument
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import MarkdownNodeParser
from llama_index.core.schema import TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from qdrant_client import models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document

IDS = [
    *("notes.md#3", "7", "007", "-1", "٧", "", " ", "ünï", "x" * 5000, "a/b?c=d", "None"),
    hashlib.sha256(b"text").hexdigest(),
    hashlib.md5(b"text").hexdigest(),  # 32 hexadecimal digits are a UUID, in another spelling
    "00000000-0000-4000-8000-00000000000A",
    "urn:uuid:00000000-0000-4000-8000-000000000001",
    "node-" + str(UUID(int=5)),
]
OTHER = "The yen is the money of Japan."


@pytest.fixture
def embedding(model):
    return LLM2VecGenEmbedding(model=model)


@pytest.fixture
def index(collection, embedding):
    return VectorStoreIndex.from_vector_store(collection.as_llama_index(), embed_model=embedding)


def texts(collection) -> set[str]:
    return {hit.text for hit in collection.search("x", k=100)}


# --- through the frameworks' stores


@pytest.mark.parametrize("given", IDS)
def test_langchain_adds_gets_and_deletes_by_any_id(collection, given):
    store = collection.as_langchain()
    store.add_texts([OTHER], ids=["other"])
    assert store.add_texts(["text"], [{"n": 1}], ids=[given]) == [given]
    (document,) = store.get_by_ids([given])
    assert (document.page_content, document.metadata["_id"]) == ("text", given)
    found = store.similarity_search("x", k=2)
    assert {each.id for each in found} == {given, "other"}
    assert {each.metadata["_id"] for each in found} == {given, "other"}
    assert {hit.id for hit in collection.search("x")} == {given, "other"}

    assert store.add_texts(["text again"], ids=[given]) == [given]
    assert texts(collection) == {OTHER, "text again"}
    assert store.delete([given])
    assert texts(collection) == {OTHER}
    assert store.get_by_ids([given]) == []
    assert store.delete([given])  # nothing left to delete is no error in LangChain


@pytest.mark.parametrize("given", IDS)
def test_llama_index_adds_gets_and_deletes_by_any_id(collection, index, given):
    other = TextNode(id_="other", text=OTHER)
    index.insert_nodes([TextNode(id_=given, text="text"), other])
    store = index.vector_store
    (node,) = store.get_nodes(node_ids=[given])
    assert (node.node_id, node.get_content()) == (given, "text")
    assert {each.node_id for each in index.as_retriever().retrieve("x")} == {given, "other"}
    assert {hit.id for hit in collection.search("x")} == {given, "other"}

    index.insert_nodes([TextNode(id_=given, text="text again")])
    assert texts(collection) == {OTHER, "text again"}
    store.delete_nodes(node_ids=[given])
    assert texts(collection) == {OTHER}
    assert store.get_nodes(node_ids=[given]) == []


async def test_the_async_twins_take_any_id(collection, index):
    store, nodes = collection.as_langchain(), index.vector_store
    assert await store.aadd_texts(["text"], ids=["notes.md#3"]) == ["notes.md#3"]
    (document,) = await store.aget_by_ids(["notes.md#3"])
    assert document.page_content == "text"
    (node,) = await nodes.aget_nodes(node_ids=["notes.md#3"])
    assert (node.node_id, node.get_content()) == ("notes.md#3", "text")
    assert await store.adelete(["notes.md#3"])
    await index.ainsert_nodes([TextNode(id_="a#1", text="one"), TextNode(id_="a#2", text="two")])
    await nodes.adelete_nodes(node_ids=["a#1"])
    assert texts(collection) == {"two"}


def test_one_id_is_one_document_for_both_stores_beside_a_sources(collection, index):
    collection.index([Document("ours", id="notes.md#3")])
    assert collection.as_langchain().get_by_ids(["notes.md#3"])[0].page_content == "ours"
    collection.as_langchain().add_texts(["LangChain's"], ids=["notes.md#3"])
    assert texts(collection) == {"ours", "LangChain's"}
    index.insert_nodes([TextNode(id_="notes.md#3", text="LlamaIndex's")])
    assert texts(collection) == {"ours", "LlamaIndex's"}
    collection.delete(["notes.md#3"])
    assert collection.count() == 0


HIT_IDS = [*IDS, str(UUID(int=9)), UUID(int=9).hex, "18446744073709551615", "99" * 20]


@pytest.mark.parametrize("given", HIT_IDS)
def test_the_id_of_a_hit_deletes_it_everywhere(collection, index, given):
    def deleted_by(delete) -> bool:
        collection.index([Document("ours", id=given)])
        (hit,) = collection.search("x")
        assert hit.id == given
        delete([hit.id])
        return collection.count() == 0

    assert deleted_by(collection.delete)
    assert deleted_by(collection.as_langchain().delete)
    assert deleted_by(index.vector_store.delete_nodes)


@pytest.mark.parametrize("written", [7, 0, 2**64 - 1, str(UUID(int=9)), UUID(int=9)])
def test_ids_of_qdrants_own_kinds_stay_what_they_are(collection, written):
    store = collection.as_langchain()
    store.add_texts(["text"], ids=[written])
    (document,) = store.get_by_ids([written])
    assert document.metadata["_id"] == (str(written) if isinstance(written, UUID) else written)
    (hit,) = collection.search("x")
    assert hit.id == str(written)
    assert store.delete([hit.id])
    assert collection.count() == 0


def test_an_integer_and_its_digits_are_two_documents(collection):
    store = collection.as_langchain()
    store.add_texts(["seven", "digit", "zeros"], ids=[7, "7", "007"])
    assert collection.count() == 3
    store.delete([7])
    assert texts(collection) == {"digit", "zeros"}
    store.delete(["7"])
    assert texts(collection) == {"zeros"}


def test_documents_without_an_id_are_deleted_by_their_hits(collection):
    collection.index([Document("nameless")])
    assert collection.as_langchain().delete([collection.search("x")[0].id])
    assert collection.count() == 0


def test_langchain_makes_the_ids_that_are_missing(collection):
    store = collection.as_langchain()
    with_id, without = LangChainDocument("one", id="notes.md#1"), LangChainDocument("two")
    first, second = store.add_documents([with_id, without])
    assert first == "notes.md#1"
    assert [document.page_content for document in store.get_by_ids([second])] == ["two"]


def test_langchain_takes_texts_from_a_generator(collection):
    store = collection.as_langchain()
    assert len(store.add_texts(text for text in ("one", "two"))) == 2
    assert texts(collection) == {"one", "two"}
    for short in ({"ids": ["a"]}, {"metadatas": [{}]}):
        with pytest.raises(ValueError, match="for 2 texts; expected one for each"):
            store.add_texts(["three", "four"], **short)


def test_langchain_finds_our_documents_with_their_ids(collection):
    collection.index([Document("ours", id="notes.md#3")])
    store = collection.as_langchain()
    (document,) = store.similarity_search("x")
    assert document.id == "notes.md#3"
    assert store.delete([document.id])
    assert collection.count() == 0


# --- the frameworks' own ways to keep a store in step


@pytest.mark.parametrize("encoder", ["sha256", "sha512", "blake2b"])
def test_langchains_index_adds_skips_replaces_and_cleans_up(collection, encoder):
    records, store = InMemoryRecordManager("notes"), collection.as_langchain()
    records.create_schema()

    def run(*contents: str) -> list[int]:
        documents = [LangChainDocument(text, metadata={"source": "a"}) for text in contents]
        done = langchain_index(
            documents, records, store, cleanup="full", source_id_key="source", key_encoder=encoder
        )
        return [done["num_added"], done["num_skipped"], done["num_deleted"]]

    assert run("one", "two") == [2, 0, 0]
    assert run("one", "two") == [0, 2, 0]
    assert run("one", "three") == [1, 1, 1]
    assert texts(collection) == {"one", "three"}
    assert run() == [0, 0, 2]
    assert collection.count() == 0


def test_the_pipeline_of_llama_index_upserts_and_deletes(collection, embedding):
    pipeline = IngestionPipeline(
        transformations=[MarkdownNodeParser(), embedding],
        docstore=SimpleDocumentStore(),
        vector_store=collection.as_llama_index(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )

    def run(**contents: str) -> set[str]:
        pipeline.run(documents=[LlamaDocument(id_=k, text=v) for k, v in contents.items()])
        return texts(collection)

    assert run(a="one", b="two") == {"one", "two"}
    assert run(a="one", b="three") == {"one", "three"}
    assert run(a="one") == {"one"}


# --- nothing to delete


def test_deleting_nothing_deletes_nothing(collection, index):
    collection.index([Document("kept", id="kept")])
    store, client = collection.as_langchain(), collection.client
    collection.delete([])
    collection.delete(iter(()))
    assert store.delete([])
    index.vector_store.delete_nodes([])
    index.vector_store.delete_nodes()  # LlamaIndex sends a filter that everything passes
    for nothing in ([], models.PointIdsList(points=[]), models.Filter(should=[])):
        assert client.delete("notes", nothing).status == "completed"
        delete = models.DeleteOperation(
            delete=models.PointIdsList(points=[])
            if isinstance(nothing, list)
            else models.FilterSelector(filter=nothing)
            if isinstance(nothing, models.Filter)
            else nothing
        )
        assert client.batch_update_points("notes", [delete]) == []
    assert store.get_by_ids([]) == []
    assert texts(collection) == {"kept"}
    client.delete("notes", models.Filter())  # Qdrant's own way to say "all"
    assert collection.count() == 0


@pytest.mark.parametrize("ids", [[7], [None], [b"x"]])
def test_an_id_that_is_no_string_is_refused(collection, ids):
    with pytest.raises(ValueError, match="expected a str"):
        collection.delete(ids)


# --- every way to write through the client


def vector_of(collection, text: str) -> list[float]:
    return collection.model.encode_document(text).tolist()


@pytest.fixture
def batch(collection):
    """Two texts as the arguments of a batch, under ids that are no UUIDs."""
    contents = ["Polar bears live on ice.", OTHER]
    return {
        "ids": ["bear#1", "yen#1"],
        "vectors": [vector_of(collection, text) for text in contents],
        "payloads": [{"page_content": t, "metadata": {"n": i}} for i, t in enumerate(contents)],
    }


def as_structs(batch: dict) -> list[models.PointStruct]:
    rows = zip(batch["ids"], batch["vectors"], batch["payloads"], strict=True)
    return [models.PointStruct(id=i, vector=v, payload=p) for i, v, p in rows]


def upsert_batch(client, batch):
    client.upsert("notes", models.Batch(**batch))


def upsert_named_batch(client, batch):
    client.upsert("notes", models.Batch(**{**batch, "vectors": {"": batch["vectors"]}}))


def upsert_structs(client, batch):
    client.upsert(collection_name="notes", points=as_structs(batch))


def upsert_dicts(client, batch):
    client.upsert("notes", points=[struct.model_dump() for struct in as_structs(batch)])


def upload_points(client, batch):
    client.upload_points("notes", iter(as_structs(batch)), wait=True)


def upload_lists(client, batch):
    client.upload_collection("notes", batch["vectors"], batch["payloads"], batch["ids"])


def upload_array(client, batch):
    vectors = np.array(batch["vectors"])
    client.upload_collection("notes", vectors, payload=iter(batch["payloads"]), ids=batch["ids"])


def upload_named_arrays(client, batch):
    vectors = {"": np.array(batch["vectors"])}
    client.upload_collection("notes", vectors, batch["payloads"], ids=iter(batch["ids"]))


def update_list(client, batch):
    upsert = models.PointsList(points=as_structs(batch))
    client.batch_update_points("notes", [models.UpsertOperation(upsert=upsert)])


def update_batch(client, batch):
    upsert = models.PointsBatch(batch=models.Batch(**batch))
    client.batch_update_points("notes", update_operations=[models.UpsertOperation(upsert=upsert)])


def through_an_alias(client, batch):
    alias = models.CreateAlias(collection_name="notes", alias_name="alias")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.upsert("alias", as_structs(batch))


@pytest.mark.parametrize(
    "write",
    [
        *(upsert_batch, upsert_named_batch, upsert_structs, upsert_dicts, upload_points),
        *(upload_lists, upload_array, upload_named_arrays, update_list, update_batch),
        through_an_alias,
    ],
)
def test_every_way_to_write_writes_whole_points(collection, index, batch, write):
    write(collection.client, batch)
    assert collection.adopt() == 0
    assert [hit.id for hit in collection.hybrid_search("yen", k=1)] == ["yen#1"]
    (document,) = collection.as_langchain().get_by_ids(["bear#1"])
    assert document.page_content == batch["payloads"][0]["page_content"]
    assert {node.node_id for node in index.as_retriever().retrieve("x")} == set(batch["ids"])
    records, _ = collection.client.scroll("notes")
    assert {record.id for record in records} == set(batch["ids"])


def test_ids_are_found_in_every_place_of_a_request(collection, batch):
    client, query = collection.client, batch["vectors"][0]
    upsert_structs(client, batch)
    bear = models.Filter(must=[models.HasIdCondition(has_id=["bear#1"])])
    neither = models.Filter(must_not=[models.HasIdCondition(has_id=["bear#1"]), bear])
    assert client.count("notes", count_filter=bear).count == 1
    assert client.count("notes", count_filter=models.Filter(must=[neither])).count == 1
    prefetch = models.Prefetch(query=query, filter=bear)
    fused = models.FusionQuery(fusion=models.Fusion.RRF)
    for answer in (
        client.query_points("notes", query, query_filter=bear),
        client.query_points("notes", query=fused, prefetch=[prefetch]),
        client.query_batch_points(
            "notes", [models.QueryRequest(query=query, filter=bear, with_payload=True)]
        )[0],
    ):
        assert [point.id for point in answer.points] == ["bear#1"]
    groups = client.query_points_groups("notes", query=query, group_by="metadata.n").groups
    assert {hit.id for group in groups for hit in group.hits} == set(batch["ids"])
    client.delete("notes", models.FilterSelector(filter=bear))
    assert {hit.id for hit in collection.search("x")} == {"yen#1"}
    ids = models.PointIdsList(points=["yen#1"])
    client.batch_update_points("notes", [models.DeleteOperation(delete=ids)])
    assert collection.count() == 0


def test_an_upload_without_ids_gets_new_ones(collection, batch):
    for ids in (None, (f"n{i}" for i in count())):
        collection.client.upload_collection("notes", batch["vectors"], batch["payloads"], ids)
    assert collection.count() == 4


PARTIAL = {
    "set_payload": {"payload": {"lang": "de"}, "points": ["bear#1"]},
    "overwrite_payload": {"payload": {"page_content": "x"}, "points": ["bear#1"]},
    "delete_payload": {"keys": ["metadata"], "points": ["bear#1"]},
    "clear_payload": {"points_selector": ["bear#1"]},
    "update_vectors": {"points": [models.PointVectors(id=1, vector=[0.0])]},
    "delete_vectors": {"vectors": [""], "points": ["bear#1"]},
}
PARTIAL_OPERATIONS = [
    models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 1}, points=[1])),
    models.OverwritePayloadOperation(
        overwrite_payload=models.SetPayload(payload={"a": 1}, points=[1])
    ),
    models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["a"], points=[1])),
    models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])),
    models.UpdateVectorsOperation(
        update_vectors=models.UpdateVectors(points=[models.PointVectors(id=1, vector=[0.0])])
    ),
    models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(vector=[""], points=[1])),
]


@pytest.mark.parametrize("name", PARTIAL)
async def test_what_writes_part_of_a_point_is_refused_by_name(collection, index, batch, name):
    upsert_structs(collection.client, batch)
    with pytest.raises(CollectionError, match=f"{name} could leave a point"):
        getattr(collection.client, name)(collection_name="notes", **PARTIAL[name])
    with pytest.raises(CollectionError, match=f"{name} could leave a point"):
        await getattr(index.vector_store._aclient, name)(collection_name="notes", **PARTIAL[name])
    assert collection.adopt() == 0


@pytest.mark.parametrize("operation", PARTIAL_OPERATIONS, ids=lambda o: type(o).__name__)
def test_a_batch_with_part_of_a_point_is_refused_as_a_whole(collection, batch, operation):
    upsert = models.UpsertOperation(upsert=models.PointsList(points=as_structs(batch)))
    with pytest.raises(CollectionError, match=f"with {type(operation).__name__} could leave"):
        collection.client.batch_update_points("notes", [upsert, operation])
    assert collection.count() == 0


@pytest.mark.parametrize("name", ["http", "grpc_points"])
def test_the_servers_own_doors_are_closed(collection, name):
    with pytest.raises(CollectionError, match=f"{name} could leave"):
        getattr(collection.client, name)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, r"point 'a' has no text: its payload has the names \[\]"),
        ({"colour": "red"}, r"point 'a' has no text: its payload has the names \['colour'\]"),
        ({"page_content": None}, "has no text"),
        ({"page_content": "x", "metadata": "y"}, "has no text"),
        ({"page_content": "x", "metadata": {"y": object()}}, "point 'a' is not JSON"),
    ],
)
def test_a_point_without_a_text_is_refused(collection, payload, message):
    point = models.PointStruct(id="a", vector=vector_of(collection, "x"), payload=payload)
    with pytest.raises(ValueError, match=message):
        collection.client.upsert("notes", [point])
    with pytest.raises(ValueError, match=message):
        collection.client.upload_points("notes", [point])
    assert collection.count() == 0


@pytest.mark.parametrize("vector", [{}, {"bm25": models.SparseVector(indices=[1], values=[1.0])}])
def test_a_point_without_a_vector_is_refused(collection, vector):
    point = models.PointStruct(id="a", vector=vector, payload={"page_content": "x"})
    with pytest.raises(ValueError, match="point 'a' has no vector of numbers"):
        collection.client.upsert("notes", [point])


def test_another_models_text_to_embed_is_refused(collection):
    text = models.Document(text="x", model="another/model")
    point = models.PointStruct(id="a", vector=text, payload={"page_content": "x"})
    with pytest.raises(ValueError, match="has no vector of numbers"):
        collection.client.upsert("notes", [point])


def test_a_batch_of_unequal_lengths_is_refused(collection, batch):
    for name in batch:
        short = models.Batch(**{**batch, name: batch[name][:1]})
        with pytest.raises(ValueError, match="expected one of each for every point"):
            collection.client.upsert("notes", short)
    with pytest.raises(ValueError, match="at position 1 has no payload or no id"):
        collection.client.upload_collection("notes", iter(batch["vectors"]), batch["payloads"][:1])
    with pytest.raises(ValueError, match=r"points\[0\] is a str"):
        collection.client.upsert("notes", ["bear#1"])


def test_other_collections_of_the_client_are_left_alone(collection):
    config = models.VectorParams(size=2, distance=models.Distance.DOT)
    client = collection.client
    client.create_collection("other", config)
    point = str(uuid4())
    client.upsert("other", [models.PointStruct(id=point, vector=[1.0, 0.0], payload={"a": 1})])
    client.set_payload("other", {"b": 2}, points=[point])
    assert client.retrieve("other", [point])[0].payload == {"a": 1, "b": 2}
    client.delete("other", [point])
    assert client.count("other").count == 0


def test_a_collection_can_be_opened_on_a_client_that_another_lent(collection, model):
    from llm2vec_gen_rag.qdrant import DocumentCollection

    second = DocumentCollection(collection.client, "second", model)
    second.index([Document("text", id="a")])
    second.index([Document("text", id="a", metadata={"n": 1})])  # rewrites the payload alone
    assert second.search("x")[0].metadata == {"n": 1}
    assert collection.count() == 0


@pytest.mark.parametrize("given", [-1, 2**64])
def test_an_integer_that_qdrant_has_no_id_for_is_refused(collection, given):
    store = collection.as_langchain()
    with pytest.raises(ValueError, match="expected a string, a UUID or an integer"):
        store.add_texts(["q"], ids=[given])
    assert collection.count() == 0
