"""Hybrid search is one search: ours, LangChain's and LlamaIndex's."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_qdrant import RetrievalMode
from llama_index.core import VectorStoreIndex
from llama_index.core.vector_stores import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from qdrant_client import models

from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.hybrid.fusion import DEPTH, WEIGHT, fused_scores

QUERY = "part QX-77131"


@pytest.fixture(scope="module")
def filled(model):
    """Seventy documents, more than each of the two rankings holds; read by every test."""
    parts = [
        Document(f"Part number {i} of the catalogue.", id=f"part-{i}", metadata={"even": i % 2})
        for i in range(69)
    ]
    spare = Document("A spare, QX-77131.", id="spare", metadata={"even": 0})
    with DocumentCollection.open(":memory:", "notes", model) as opened:
        opened.index([*parts, spare])
        yield opened


def ours(collection, weight, k=5):
    """Text and score of each hit; a query's cosines differ in the last bits between calls."""
    hits = collection.hybrid_search(QUERY, k, weight=weight)
    return [(hit.text, near(hit.score)) for hit in hits]


def near(score):
    return pytest.approx(score, abs=1e-5)


def scores_of_all(collection):
    """The cosine and BM25 of every document, and the documents, as Qdrant scores them."""
    from llm2vec_gen_rag.qdrant.points.bm25 import query_vector

    cosines = {hit.id: hit.score for hit in collection.search(QUERY, k=70)}
    found = collection.client.query_points(
        "notes", query=query_vector(QUERY), using="bm25", limit=70, with_payload=True
    ).points
    words = {point.payload["_llm2vec_gen"]["id"]: point.score for point in found}
    return cosines, {name: words.get(name, 0.0) for name in cosines}


@pytest.mark.parametrize("weight", [0, 0.3, 0.5, 1])
def test_every_hit_has_its_own_cosine_and_its_own_bm25(filled, weight):
    cosines, words = scores_of_all(filled)
    fused = fused_scores(np.array([*cosines.values()]), np.array([*words.values()]), 0.75, weight)
    expected = dict(zip(cosines, fused, strict=True))
    hits = filled.hybrid_search(QUERY, k=60, weight=weight)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hit.id: hit.score for hit in hits} == pytest.approx(
        {hit.id: expected[hit.id] for hit in hits}, abs=1e-5
    )
    assert hits[0].score == pytest.approx(fused.max(), abs=1e-5)


def test_the_weight_goes_from_the_words_alone_to_the_embedding_alone(filled):
    assert ours(filled, 0)[0] == ("A spare, QX-77131.", pytest.approx(1))
    nearest = [hit.text for hit in filled.search(QUERY, k=5)]
    assert [text for text, _ in ours(filled, 1)] == nearest


def test_one_common_word_of_a_question_does_not_outweigh_what_it_means():
    cosines, words = np.array([0.9, 0.5]), np.array([0.0, 3.0])
    common, telling = (fused_scores(cosines, words, share, WEIGHT) for share in (1 / 9, 1 / 2))
    assert common[0] > common[1]
    assert telling[0] < telling[1]


@pytest.mark.parametrize(
    ("query", "best"),
    [("bears", 1), ("bears in summer", 2 / 3), ("the ice of Mars and of other moons", 6 / 7)],
)
def test_words_count_by_their_share_in_the_best_document(collection, documents, query, best):
    collection.index(documents)
    assert collection.hybrid_search(query, k=1, weight=0)[0].score == near(best)


def test_a_word_that_no_document_has_leaves_the_embedding_to_rank(filled):
    by_both = [hit.id for hit in filled.hybrid_search("zzz", k=DEPTH)]
    assert by_both == [hit.id for hit in filled.search("zzz", k=DEPTH)]


def test_fewer_hits_are_the_first_of_more(filled):
    few, many = (filled.hybrid_search(QUERY, k) for k in (3, 50))
    assert [(hit.text, hit.score) for hit in few] == [(h.text, near(h.score)) for h in many[:3]]


def test_hybrid_search_of_an_empty_collection_finds_nothing(collection):
    assert collection.hybrid_search(QUERY) == []


@pytest.mark.parametrize("weight", [-0.1, 1.5, "0.5", None, True, float("nan")])
def test_what_is_no_weight_is_refused(filled, weight):
    with pytest.raises(ValueError, match="expected a number from 0, the words alone, to 1"):
        filled.hybrid_search(QUERY, weight=weight)


# --- LangChain


@pytest.fixture
def langchain(filled):
    return filled.as_langchain(retrieval_mode=RetrievalMode.HYBRID)


def test_langchain_finds_what_hybrid_search_finds(filled, langchain):
    found = langchain.similarity_search_with_score(QUERY, k=5)
    assert [(document.page_content, score) for document, score in found] == ours(filled, WEIGHT)
    assert langchain.similarity_search(QUERY, k=1)[0].id == "spare"


async def test_langchain_s_retriever_passes_the_weight_on(filled, langchain):
    retriever = langchain.as_retriever(search_kwargs={"k": 5, "weight": 0.2})
    texts = [text for text, _ in ours(filled, 0.2)]
    assert [document.page_content for document in retriever.invoke(QUERY)] == texts
    assert [document.page_content for document in await retriever.ainvoke(QUERY)] == texts


def test_langchain_s_own_arguments_hold_in_hybrid_search(langchain):
    even = models.FieldCondition(key="metadata.even", match=models.MatchValue(value=1))
    found = langchain.similarity_search(QUERY, k=9, filter=models.Filter(must=[even]))
    assert {document.metadata["even"] for document in found} == {1}
    every = [document.id for document in langchain.similarity_search(QUERY, k=9)]
    later = langchain.similarity_search(QUERY, k=4, offset=5)
    assert [document.id for document in later] == every[5:]
    (only,) = langchain.similarity_search(QUERY, k=9, score_threshold=0.75)
    assert only.id == "spare"
    fusion = models.FusionQuery(fusion=models.Fusion.RRF)
    assert langchain.similarity_search(QUERY, k=1, hybrid_fusion=fusion)


@pytest.mark.parametrize("mode", RetrievalMode)
def test_langchain_adds_whole_documents_in_every_mode(collection, mode):
    store = collection.as_langchain(retrieval_mode=mode)
    store.add_texts(["The yen is the money of Japan.", "A bear."], ids=["yen", "bear"])
    assert store.similarity_search("yen money", k=1)[0].id == "yen"
    assert collection.search("yen", k=2)[0].text
    assert collection.hybrid_search("yen money", k=1)[0].id == "yen"


def test_what_langchain_cannot_do_is_refused(filled, langchain):
    with pytest.raises(ValueError, match="retrieval_mode is 'hybrid'; expected langchain_qdrant"):
        filled.as_langchain(retrieval_mode="hybrid")
    with pytest.raises(ValueError, match="in a search by dense vectors"):
        filled.as_langchain().similarity_search(QUERY, weight=0.5)
    with pytest.raises(ValueError, match=r"hybrid search got \['colour'\]"):
        langchain.similarity_search(QUERY, colour="red")
    with pytest.raises(ValueError, match="weight is 2"):
        langchain.similarity_search(QUERY, weight=2)


# --- LlamaIndex


@pytest.fixture
def llama_index(filled):
    return VectorStoreIndex.from_vector_store(
        filled.as_llama_index(enable_hybrid=True),
        embed_model=LLM2VecGenEmbedding(model=filled.model),
    )


@pytest.mark.parametrize("alpha", [None, 0.0, 0.2, 1.0])
async def test_llama_index_finds_what_hybrid_search_finds(filled, llama_index, alpha):
    retriever = llama_index.as_retriever(
        vector_store_query_mode="hybrid", similarity_top_k=5, alpha=alpha
    )
    expected = ours(filled, WEIGHT if alpha is None else alpha)
    for nodes in (retriever.retrieve(QUERY), await retriever.aretrieve(QUERY)):
        assert [(node.text, node.score) for node in nodes] == expected


def test_llama_index_s_own_arguments_hold_in_hybrid_search(llama_index):
    filters = MetadataFilters(filters=[MetadataFilter(key="even", value=1)])
    options = {"vector_store_query_mode": "hybrid", "similarity_top_k": 9}
    found = llama_index.as_retriever(filters=filters, hybrid_top_k=3, **options).retrieve(QUERY)
    assert [node.metadata["even"] for node in found] == [1, 1, 1]
    by_words = llama_index.as_retriever(vector_store_query_mode="sparse").retrieve("QX-77131")
    assert [node.text for node in by_words] == ["A spare, QX-77131."]


def test_llama_index_adds_nodes_to_a_hybrid_store(collection):
    store = collection.as_llama_index(enable_hybrid=True)
    index = VectorStoreIndex.from_vector_store(
        store, embed_model=LLM2VecGenEmbedding(model=collection.model)
    )
    from llama_index.core.schema import TextNode

    index.insert_nodes([TextNode(text="The yen is money."), TextNode(text="A bear.")])
    assert collection.hybrid_search("yen", k=1)[0].text == "The yen is money."
    dense = index.as_retriever(similarity_top_k=1).retrieve("The yen is money.")
    assert [node.text for node in dense] == ["The yen is money."]


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE])
def test_hybrid_of_a_store_without_words_says_how_to_open_one(filled, mode):
    query = VectorStoreQuery(query_str=QUERY, query_embedding=[0.0], mode=mode)
    with pytest.raises(ValueError, match=r"as_llama_index\(enable_hybrid=True\)"):
        filled.as_llama_index().query(query)


def test_a_hybrid_query_that_lacks_a_half_is_refused(filled):
    store = filled.as_llama_index(enable_hybrid=True)
    mode = VectorStoreQueryMode.HYBRID
    with pytest.raises(ValueError, match="query_str is None"):
        store.query(VectorStoreQuery(query_embedding=[0.0], mode=mode))
    with pytest.raises(ValueError, match="it has no query_embedding"):
        store.query(VectorStoreQuery(query_str=QUERY, mode=mode))
    full = VectorStoreQuery(query_str=QUERY, query_embedding=[0.0], mode=mode, alpha=3)
    with pytest.raises(ValueError, match="weight is 3"):
        store.query(full)
