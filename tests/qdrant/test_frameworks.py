"""One collection, read and written by this library, by LangChain's store and by LlamaIndex's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from itertools import chain

import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_qdrant import QdrantVectorStore as LangChainStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport

BEAR = "Polar bears live on the sea ice of the Arctic."
YEN = "The yen is the money of Japan."
BEAR_ID = "00000000-0000-4000-8000-000000000001"
YEN_ID = "00000000-0000-4000-8000-000000000002"
WRITERS = ["ours", "langchain", "llama_index"]


def write(collection: DocumentCollection, writer: str) -> None:
    """The same two texts, by one of the three."""
    texts = {BEAR_ID: (BEAR, {"lang": "en", "page": 1}), YEN_ID: (YEN, {"lang": "de", "page": 2})}
    if writer == "ours":
        collection.index(Document(text, id=i, metadata=m) for i, (text, m) in texts.items())
    elif writer == "langchain":
        documents = [LangChainDocument(text, metadata=m) for text, m in texts.values()]
        collection.as_langchain().add_documents(documents, ids=list(texts))
    else:
        nodes = [TextNode(id_=i, text=text, metadata=m) for i, (text, m) in texts.items()]
        llama_index(collection).insert_nodes(nodes)


def llama_index(collection: DocumentCollection) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(
        collection.as_llama_index(), embed_model=LLM2VecGenEmbedding(model=collection.model)
    )


def read(collection: DocumentCollection, reader: str, lang: str) -> list[tuple[str, dict]]:
    """Text and metadata of what one of the three finds in one language."""
    if reader == "ours":
        hits = collection.search("anything", filter={"lang": lang})
        return [(hit.text, hit.metadata) for hit in hits]
    if reader == "langchain":
        condition = models.FieldCondition(key="metadata.lang", match=models.MatchValue(value=lang))
        store = collection.as_langchain()
        documents = store.similarity_search("anything", filter=models.Filter(must=[condition]))
        return [(d.page_content, without_langchains_own(d.metadata)) for d in documents]
    filters = MetadataFilters(filters=[MetadataFilter(key="lang", value=lang)])
    found = llama_index(collection).as_retriever(filters=filters).retrieve("anything")
    return [(scored.node.get_content(), scored.node.metadata) for scored in found]


def without_langchains_own(metadata: dict) -> dict:
    return {k: v for k, v in metadata.items() if k not in {"_id", "_collection_name"}}


@pytest.mark.parametrize("reader", WRITERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_one_writes_the_others_find_and_filter(collection, writer, reader):
    write(collection, writer)
    assert read(collection, reader, "en") == [(BEAR, {"lang": "en", "page": 1})]
    assert read(collection, reader, "de") == [(YEN, {"lang": "de", "page": 2})]
    assert read(collection, reader, "fr") == []


@pytest.mark.parametrize("writer", WRITERS)
def test_hybrid_search_sees_the_words_of_every_writer(collection, writer):
    write(collection, writer)
    assert collection.hybrid_search("yen", k=1)[0].text == YEN


@pytest.mark.parametrize("writer", WRITERS)
def test_all_three_score_alike(collection, writer):
    write(collection, writer)
    ours = {hit.text: hit.score for hit in collection.search("Where do bears live?")}
    store = collection.as_langchain()
    theirs = {
        document.page_content: score
        for document, score in store.similarity_search_with_score("Where do bears live?")
    }
    nodes = llama_index(collection).as_retriever().retrieve("Where do bears live?")
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert {node.get_content(): node.score for node in nodes} == pytest.approx(ours, abs=1e-5)


def test_metadata_named_like_the_payload_keeps_its_place(collection):
    awkward = {"page_content": "mine", "metadata": "mine too", "doc_id": "third", "lang": "en"}
    collection.index([Document(BEAR, id="bear", metadata=awkward)])
    for reader in WRITERS:
        assert read(collection, reader, "en") == [(BEAR, awkward)]


# --- writers that know nothing of the other framework


@pytest.fixture
def shared(model):
    """A client of the user's own, and our collection on it."""
    client = QdrantClient(":memory:")
    yield client, DocumentCollection(client, "notes", model)
    client.close()


def test_adopting_what_langchain_wrote_elsewhere(shared, model):
    client, collection = shared
    store = LangChainStore(client, "notes", LLM2VecGenEmbeddings(model=model))
    store.add_texts([BEAR, YEN], [{"lang": "en"}, None], ids=[BEAR_ID, 7])
    assert {hit.text for hit in collection.search("x")} == {BEAR, YEN}
    assert read(collection, "llama_index", "en") == []  # its filters read the flat half

    assert collection.adopt() == 2
    assert read(collection, "llama_index", "en") == [(BEAR, {"lang": "en"})]
    assert read(collection, "langchain", "en") == [(BEAR, {"lang": "en"})]
    assert collection.hybrid_search("yen", k=1)[0].text == YEN
    assert collection.adopt() == 0


@pytest.mark.parametrize("kind", [TextNode, LlamaDocument])
def test_adopting_what_llama_index_wrote_elsewhere(shared, model, kind):
    client, collection = shared
    nodes = [
        kind(id_=BEAR_ID, text=BEAR, metadata={"lang": "en"}),
        kind(id_=YEN_ID, text=YEN, metadata={"lang": "de"}),
    ]
    embedding = LLM2VecGenEmbedding(model=model)
    for node in nodes:
        node.embedding = embedding.get_text_embedding(node.text)
    LlamaIndexStore(collection_name="notes", client=client).add(nodes)
    assert {(hit.text, hit.metadata["lang"]) for hit in collection.search("x")} == {
        (BEAR, "en"),
        (YEN, "de"),
    }
    assert read(collection, "langchain", "en") == []

    before = [hit.score for hit in collection.search("x")]
    assert collection.adopt() == 2
    assert [hit.score for hit in collection.search("x")] == pytest.approx(before, abs=1e-6)
    assert read(collection, "langchain", "en") == [(BEAR, {"lang": "en"})]
    assert read(collection, "llama_index", "de") == [(YEN, {"lang": "de"})]
    assert collection.adopt() == 0


def test_sync_leaves_what_the_frameworks_added(collection):
    write(collection, "langchain")
    collection.sync([Document("ours", id="ours")])
    assert collection.sync([]) == IndexReport(removed=1)
    assert {hit.text for hit in collection.search("x")} == {BEAR, YEN}


# --- deleting


def test_hits_of_framework_points_can_be_deleted(collection):
    write(collection, "llama_index")
    collection.as_langchain().add_texts(["seven"], ids=[7])
    assert {hit.id for hit in collection.search("x")} == {BEAR_ID, YEN_ID, "7"}
    collection.delete([BEAR_ID, "7"])
    assert {hit.id for hit in collection.search("x")} == {YEN_ID}


def test_llama_index_deletes_our_documents_by_their_id(collection):
    collection.index([Document(BEAR, id="bear"), Document(YEN, id="yen")])
    llama_index(collection).delete_ref_doc("bear")
    assert [hit.id for hit in collection.search("x")] == ["yen"]


def test_langchain_deletes_our_documents_by_their_point(collection):
    collection.index([Document(BEAR, id="bear"), Document(YEN, id="yen")])
    found = collection.as_langchain().similarity_search("x", k=2)
    bear = next(document for document in found if document.page_content == BEAR)
    collection.as_langchain().delete([bear.metadata["_id"]])
    assert [hit.id for hit in collection.search("x")] == ["yen"]


# --- how the stores are built


def test_the_langchain_store_is_built_without_embedding(collection, monkeypatch):
    monkeypatch.setattr(
        type(collection.model), "encode", lambda *_, **__: pytest.fail("embedded something")
    )
    assert isinstance(collection.as_langchain(), LangChainStore)


async def test_langchains_threads_take_turns(shared, monkeypatch):
    client, collection = shared
    running: list[int] = []
    most_at_once = 0
    upsert = client.upsert

    def slow_upsert(*args, **kwargs):
        nonlocal most_at_once
        running.append(1)
        most_at_once = max(most_at_once, len(running))
        time.sleep(0.05)
        running.pop()
        return upsert(*args, **kwargs)

    monkeypatch.setattr(client, "upsert", slow_upsert)
    store = collection.as_langchain()
    batches = [[f"text {4 * i + j}" for j in range(4)] for i in range(4)]
    await asyncio.gather(*(store.aadd_texts(batch) for batch in batches))
    assert most_at_once == 1
    assert {hit.text for hit in collection.search("x", k=100)} == {*chain(*batches)}


async def test_llama_index_reads_and_writes_without_blocking(collection):
    index = llama_index(collection)
    await index.ainsert_nodes([TextNode(id_=BEAR_ID, text=BEAR), TextNode(id_=YEN_ID, text=YEN)])
    found = await index.as_retriever().aretrieve("bears")
    assert {scored.node.get_content() for scored in found} == {BEAR, YEN}
    (yen,) = await collection.as_langchain().aget_by_ids([YEN_ID])
    assert yen.page_content == YEN
    await index.vector_store.adelete_nodes([YEN_ID])
    assert [hit.text for hit in collection.search("x")] == [BEAR]


def test_a_missing_store_is_reported_with_its_install_line(collection, monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_qdrant", None)
    with pytest.raises(ImportError, match="pip install langchain-qdrant"):
        collection.as_langchain()
    monkeypatch.setitem(sys.modules, "llama_index.vector_stores.qdrant", None)
    with pytest.raises(ImportError, match="pip install llama-index-vector-stores-qdrant"):
        collection.as_llama_index()


def test_neither_framework_is_imported_to_index_and_search():
    code = (
        "import sys, llm2vec_gen_rag.qdrant\n"
        "print([m for m in sys.modules if m.startswith(('langchain', 'llama_index', 'torch'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
