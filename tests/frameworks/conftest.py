"""Both frameworks' embedding classes, and how each is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from llama_index.core import Settings

import llm2vec_gen_rag.langchain
import llm2vec_gen_rag.llama_index
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding


@dataclass(frozen=True)
class Framework:
    """An adapter's class, the names of its methods, and how its settings are saved and loaded."""

    module: ModuleType
    extra: str
    requires: str  # the framework's own package
    adapter: type[Any]
    query_method: str  # its async twin has an "a" before the name; so with the documents'
    documents_method: str
    saved: Callable[[Any], dict[str, Any]]
    loaded: Callable[[dict[str, Any]], Any]

    def query(self, embedding, text):
        return getattr(embedding, self.query_method)(text)

    def documents(self, embedding, texts):
        return getattr(embedding, self.documents_method)(texts)

    async def aquery(self, embedding, text):
        return await getattr(embedding, f"a{self.query_method}")(text)

    async def adocuments(self, embedding, texts):
        return await getattr(embedding, f"a{self.documents_method}")(texts)


LANGCHAIN = Framework(
    module=llm2vec_gen_rag.langchain,
    extra="langchain",
    requires="langchain_core",
    adapter=LLM2VecGenEmbeddings,
    query_method="embed_query",
    documents_method="embed_documents",
    saved=LLM2VecGenEmbeddings.model_dump,
    loaded=LLM2VecGenEmbeddings.model_validate,
)
LLAMA_INDEX = Framework(
    module=llm2vec_gen_rag.llama_index,
    extra="llama-index",
    requires="llama_index",
    adapter=LLM2VecGenEmbedding,
    query_method="get_query_embedding",
    documents_method="get_text_embedding_batch",
    saved=LLM2VecGenEmbedding.to_dict,
    loaded=LLM2VecGenEmbedding.from_dict,
)


@pytest.fixture(scope="session", params=[LANGCHAIN, LLAMA_INDEX], ids=lambda chosen: chosen.extra)
def framework(request) -> Framework:
    """LangChain, then LlamaIndex."""
    return request.param


@pytest.fixture(scope="session")
def shared_embedding(framework, model):
    """The framework's adapter around the shared model, with its default settings."""
    return framework.adapter(model=model)


@pytest.fixture
def restored_settings():
    """Put LlamaIndex's global embedding model back."""
    before = Settings._embed_model
    yield
    Settings._embed_model = before
