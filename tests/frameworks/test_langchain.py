"""What is LangChain's own: lists of documents, and its vector stores."""

from __future__ import annotations

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_qdrant import QdrantVectorStore

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "The yen is Japan's money.", "four"]


@pytest.fixture(scope="module")
def embeddings(model):
    return LLM2VecGenEmbeddings(model=model)


def test_one_string_is_not_a_list_of_documents(embeddings):
    with pytest.raises(ValueError, match="takes a list of strings; got one string, 'abc'"):
        embeddings.embed_documents("abc")


async def test_none_is_not_a_list_of_documents(embeddings):
    with pytest.raises(ValueError, match="expected a string"):
        embeddings.embed_documents(None)
    with pytest.raises(ValueError, match="expected a string"):
        await embeddings.aembed_documents(None)


def test_in_memory_store(embeddings):
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    vector = embeddings.embed_documents([TEXTS[3]])[0]
    (found,) = store.similarity_search_by_vector(vector, k=1)
    assert found.page_content == TEXTS[3]
    assert len(store.similarity_search("money", k=5)) == 5


async def test_qdrant_store(embeddings):
    store = QdrantVectorStore.from_texts(TEXTS, embeddings, location=":memory:")
    vector = embeddings.embed_documents([TEXTS[0]])[0]
    (found,) = store.similarity_search_by_vector(vector, k=1)
    assert found.page_content == TEXTS[0]
    scores = [score for _, score in await store.asimilarity_search_with_score("money", k=5)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
