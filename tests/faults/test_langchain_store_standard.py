"""LangChain's standard tests of a vector store, on a collection's own."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from llm2vec_gen_rag.qdrant.stores.langchain import LangChainStore


class WithoutItsOwnNames(LangChainStore):
    """The tests compare metadata, to which LangChain's Qdrant store adds two names."""

    @classmethod
    def _document_from_point(cls, *point_and_names):
        document = super()._document_from_point(*point_and_names)
        del document.metadata["_id"], document.metadata["_collection_name"]
        return document


class TestLangChainStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, collection):
        return WithoutItsOwnNames(
            client=collection.client,
            collection_name=collection.name,
            # the tests expect a query to be nearest to its own text
            embedding=DeterministicFakeEmbedding(size=collection.model.dimension),
            validate_collection_config=False,
        )
