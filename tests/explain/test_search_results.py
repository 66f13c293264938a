"""Search results are explained as the frameworks return them."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document as LlamaIndexDocument
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode

from llm2vec_gen_rag.explain import explain
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, Hit

QUERY = "where do polar bears live"
TEXTS = ["Polar bears live on the sea ice.", "The yen is the money of Japan."]
METADATA = {"page": "7", "topic": "bears"}


def explained(model, result):
    return explain(model, QUERY, result, nearest=1, max_new_tokens=1)


def assert_explains_its_score(explanation, text):
    assert explanation.document.text == text
    assert explanation.cosine == pytest.approx(explanation.search_score, abs=1e-5)
    assert sum(explanation.split.by_query_token) == pytest.approx(
        explanation.search_score, abs=1e-5
    )
    assert f"score that the search gave:   {explanation.search_score:.4f}" in str(explanation)


def test_results_of_langchain(model):
    store = InMemoryVectorStore(LLM2VecGenEmbeddings(model=model))
    store.add_texts(TEXTS, [METADATA, {}])
    for document, score in store.similarity_search_with_score(QUERY, k=2):
        assert_explains_its_score(explained(model, (document, score)), document.page_content)
        alone = explained(model, document)
        assert (alone.document.text, alone.search_score) == (document.page_content, None)


def test_a_score_of_numpys_is_a_score(model):
    pair = (LangChainDocument(page_content=TEXTS[0]), np.float32(0.25))
    assert explained(model, pair).search_score == 0.25


@pytest.mark.parametrize("metadata", [{}, METADATA], ids=["plain", "with metadata"])
def test_results_of_llama_index(model, metadata):
    documents = [LlamaIndexDocument(text=text, metadata=metadata) for text in TEXTS]
    index = VectorStoreIndex.from_documents(documents, embed_model=LLM2VecGenEmbedding(model=model))
    for result in index.as_retriever(similarity_top_k=2).retrieve(QUERY):
        embedded = result.node.get_content("embed")
        assert ("topic: bears" in embedded) == bool(metadata)
        assert_explains_its_score(explained(model, result), embedded)
        assert explained(model, result.node).document.text == embedded


def test_hits_of_a_collection_and_of_both_its_stores(model):
    with DocumentCollection.open(":memory:", "notes", model) as notes:
        notes.index([Document(text, metadata=METADATA) for text in TEXTS])
        hit = notes.search(QUERY, 1)[0]
        assert_explains_its_score(explained(model, hit), hit.text)
        pair = notes.as_langchain().similarity_search_with_score(QUERY, k=1)[0]
        assert_explains_its_score(explained(model, pair), hit.text)
        index = VectorStoreIndex.from_vector_store(
            notes.as_llama_index(), embed_model=LLM2VecGenEmbedding(model=model)
        )
        # a collection embeds the text alone, and the score says so
        result = index.as_retriever(similarity_top_k=1).retrieve(QUERY)[0]
        assert_explains_its_score(explained(model, result), hit.text)


def test_a_score_of_another_kind_stands_beside_the_cosine(model):
    node = TextNode(text=TEXTS[0], metadata=METADATA)
    explanation = explained(model, NodeWithScore(node=node, score=17.5))
    assert explanation.document.text == node.get_content("embed")
    assert explanation.search_score == 17.5
    assert abs(explanation.cosine) <= 1
    assert explained(model, NodeWithScore(node=node)).search_score is None


@pytest.mark.parametrize("result", [7, None.__class__, ("x", "y"), {"text": "x"}, [TEXTS[0]]])
def test_what_is_no_result_is_reported(model, result):
    with pytest.raises(ValueError, match=r"document is .* expected a string, a hit"):
        explained(model, result)


def test_an_image_without_a_text_is_reported_and_one_with_a_text_is_read(model):
    image = ImageNode(image_url="https://example.org/bear.png")
    for result in (image, NodeWithScore(node=image, score=0.5)):
        with pytest.raises(ValueError, match="the kind ImageNode and has no text; expected"):
            explained(model, result)
    described = ImageNode(image_url="https://example.org/bear.png", text=TEXTS[0])
    assert explained(model, described).document.text == TEXTS[0]
    named = ImageNode(image_url="https://example.org/bear.png", metadata=METADATA)
    assert explained(model, named).document.text == "page: 7\ntopic: bears"


@pytest.mark.parametrize(
    "result",
    [TextNode(text=""), LangChainDocument(page_content=" "), Hit("a", 1, "", {})],
)
def test_a_result_without_a_text_is_reported(model, result):
    with pytest.raises(ValueError, match="and has no text; expected one with text"):
        explained(model, result)
