"""LangChain's own tests of an embedding model, run as they are."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings


class TestUnit(EmbeddingsUnitTests):
    @pytest.fixture(autouse=True)
    def _source(self, kit):
        self.kit = kit

    @property
    def embeddings_class(self):
        return LLM2VecGenEmbeddings

    @property
    def embedding_model_params(self):
        return self.kit


class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _source(self, kit):
        self.kit = kit

    @property
    def embeddings_class(self):
        return LLM2VecGenEmbeddings

    @property
    def embedding_model_params(self):
        return self.kit
