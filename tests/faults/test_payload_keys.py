"""Metadata may have any names, also those that the stored payload is made of."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_qdrant import QdrantVectorStore as LangChainStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

TEXT = "Polar bears live on the sea ice of the Arctic."
ID = "00000000-0000-4000-8000-000000000001"
AWKWARD = [
    {"page_content": "mine"},
    {"page_content": None},
    {"page_content": ["a", {"b": 1.0}]},
    {"page_content": TEXT},
    {"metadata": "mine"},
    {"metadata": {"lang": "de"}},
    {"metadata": None},
    {"_llm2vec_gen": "mine"},
    {"_llm2vec_gen": {"id": "mine", "source": "", "text": "a", "content": "b"}},
    {"_llm2vec_gen": {"id": 5}},
    {"_llm2vec_gen": None},
    {"_node_content": "mine"},
    {"_node_content": '{"id_": "x", "text": "mine", "metadata": {}}'},
    {"_node_type": "IndexNode"},
    {"doc_id": "mine", "document_id": 3, "ref_doc_id": None},
    {"text": "mine", "id": "mine", "id_": "mine", "embedding": [1], "node_info": "{", "": 0},
    {"page_content": "a", "metadata": "b", "_llm2vec_gen": {}, "_node_content": "c", "doc_id": "d"},
]


def ours(collection: DocumentCollection, metadata: dict) -> None:
    collection.index([Document(TEXT, id=ID, metadata=metadata)])


def langchain(collection: DocumentCollection, metadata: dict) -> None:
    collection.as_langchain().add_documents([LangChainDocument(TEXT, metadata=metadata)], ids=[ID])


def llama_index(collection: DocumentCollection, metadata: dict, kind: type = TextNode) -> None:
    index(collection).insert_nodes([kind(id_=ID, text=TEXT, metadata=metadata)])


def llama_index_async(collection: DocumentCollection, metadata: dict) -> None:
    asyncio.run(index(collection).ainsert_nodes([TextNode(id_=ID, text=TEXT, metadata=metadata)]))


def langchain_elsewhere(collection: DocumentCollection, metadata: dict) -> None:
    embedding = LLM2VecGenEmbeddings(model=collection.model)
    LangChainStore(raw(collection), "notes", embedding).add_texts([TEXT], [metadata], ids=[ID])


def llama_index_elsewhere(collection: DocumentCollection, metadata: dict) -> None:
    node = TextNode(id_=ID, text=TEXT, metadata=metadata)
    node.embedding = LLM2VecGenEmbedding(model=collection.model).get_text_embedding(TEXT)
    LlamaIndexStore(collection_name="notes", client=raw(collection)).add([node])


WRITERS = [ours, langchain, llama_index, llama_index_async]
ELSEWHERE = [langchain_elsewhere, llama_index_elsewhere]


@pytest.fixture
def collection(collection_on_own_client):
    return collection_on_own_client


def raw(collection: DocumentCollection) -> QdrantClient:
    """The user's own client, which knows nothing of this library."""
    return collection.raw


def index(collection: DocumentCollection) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(
        collection.as_llama_index(), embed_model=LLM2VecGenEmbedding(model=collection.model)
    )


def assert_all_three_read(collection: DocumentCollection, metadata: dict) -> None:
    for hits in (collection.search("x"), collection.hybrid_search("bears")):
        assert [(hit.text, hit.metadata, hit.id) for hit in hits] == [(TEXT, metadata, ID)]
    (document,) = collection.as_langchain().similarity_search("x")
    own = {"_id": document.metadata.pop("_id"), "_collection_name": "notes"}
    assert document.page_content == TEXT
    assert {**document.metadata, **own} == {**metadata, **own}
    (scored,) = index(collection).as_retriever().retrieve("x")
    assert (scored.node.get_content(), scored.node.metadata) == (TEXT, metadata)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("metadata", AWKWARD)
def test_text_and_metadata_come_back_as_they_were(collection, write, metadata):
    write(collection, metadata)
    assert_all_three_read(collection, metadata)
    assert collection.adopt() == 0
    assert_all_three_read(collection, metadata)


@pytest.mark.parametrize("write", ELSEWHERE)
@pytest.mark.parametrize("metadata", AWKWARD)
def test_what_was_written_elsewhere_is_adopted_as_it_was(collection, write, metadata):
    write(collection, metadata)
    (hit,) = collection.search("x")
    assert (hit.text, hit.metadata, hit.id) == (TEXT, metadata, ID)
    assert collection.adopt() == 1
    assert_all_three_read(collection, metadata)
    assert collection.adopt() == 0


@pytest.mark.parametrize("metadata", [AWKWARD[0], AWKWARD[7], AWKWARD[-1]])
def test_a_point_that_is_read_and_written_again_stays_the_same(collection, metadata):
    for write in WRITERS:
        write(collection, metadata)
        (before,), _ = collection.client.scroll("notes", with_vectors=True)
        point = models.PointStruct(id=before.id, vector=before.vector, payload=before.payload)
        collection.client.upsert("notes", [point])
        (after,), _ = collection.client.scroll("notes", with_vectors=True)
        assert after.payload == before.payload
        collection.delete([ID])


@pytest.mark.parametrize("kind", [TextNode, IndexNode, LlamaDocument])
def test_every_kind_of_node_keeps_its_text(collection, kind):
    fields = {"index_id": "elsewhere"} if kind is IndexNode else {}
    node = kind(id_=ID, text=TEXT, metadata={"page_content": "mine"}, **fields)
    index(collection).insert_nodes([node])
    assert_all_three_read(collection, {"page_content": "mine"})


def test_deleting_by_the_parent_ignores_metadata_of_that_name(collection):
    parent = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="parent")}
    metadata = {"doc_id": "mine", "ref_doc_id": "mine"}
    node = TextNode(id_=ID, text=TEXT, metadata=metadata, relationships=parent)
    index(collection).insert_nodes([node])
    index(collection).delete_ref_doc("mine")
    assert collection.count() == 1
    index(collection).delete_ref_doc("parent")
    assert collection.count() == 0


def test_dates_are_the_same_text_for_both_frameworks(collection):
    metadata = {"when": datetime(2024, 5, 1, 12, tzinfo=timezone.utc)}
    langchain(collection, metadata)
    assert_all_three_read(collection, {"when": "2024-05-01T12:00:00Z"})
    found = collection.search("x", filter={"when": metadata["when"]})
    assert [hit.id for hit in found] == [ID]


def test_a_number_that_is_none_is_adopted_once(collection):
    langchain_elsewhere(collection, {"score": float("nan")})
    assert [collection.adopt(), collection.adopt()] == [1, 0]
    (scored,) = index(collection).as_retriever().retrieve("x")
    assert scored.node.metadata["score"] != scored.node.metadata["score"]


def test_halves_that_disagree_are_refused(collection):
    ours(collection, {"lang": "en"})
    (record,), _ = collection.client.scroll("notes", with_vectors=True)
    for changed in ({"page_content": "another text"}, {"metadata": {"lang": "de"}}):
        payload = record.payload | changed
        point = models.PointStruct(id=record.id, vector=record.vector, payload=payload)
        with pytest.raises(ValueError, match="expected the same"):
            collection.client.upsert("notes", [point])
    assert_all_three_read(collection, {"lang": "en"})
