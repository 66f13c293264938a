"""LangChain's own tests of an embedding model, run as they are."""

from __future__ import annotations

from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from reference_kits import ReferenceKit

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return LLM2VecGenEmbeddings

    @property
    def embedding_model_params(self):
        return ReferenceKit("qwen3-10").settings


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return LLM2VecGenEmbeddings

    @property
    def embedding_model_params(self):
        return ReferenceKit("qwen3-10").settings
