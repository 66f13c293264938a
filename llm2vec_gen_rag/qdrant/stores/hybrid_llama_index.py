"""LlamaIndex's Qdrant store with hybrid search as ours; imported when a store is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.vector_stores import (
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import models

from llm2vec_gen_rag.qdrant.call_arguments import require_filter
from llm2vec_gen_rag.qdrant.hybrid.candidates import HybridQuery
from llm2vec_gen_rag.qdrant.hybrid.fusion import DEPTH, WEIGHT, require_weight
from llm2vec_gen_rag.qdrant.points.bm25 import document_vector, query_vector


class HybridLlamaIndexStore(QdrantVectorStore):
    """`llama_index.vector_stores.qdrant.QdrantVectorStore`, except for hybrid search.

    It finds what `DocumentCollection.hybrid_search` finds. There each ranking ends after as many
    nodes as are wanted, and what is beyond counts as nothing.
    """

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the nodes nearest to a query; see upstream's.

        Args:
            query: The query. In hybrid mode ``alpha`` is the weight of the embedding, from 0 to 1,
                ``hybrid_top_k`` or else ``similarity_top_k`` is the number of nodes, and
                ``sparse_top_k`` how many are looked at for their words, at least.
            **kwargs: As there; in hybrid mode, ``qdrant_filters`` and ``search_params``.

        Returns:
            Nodes and scores, best first.

        Raises:
            ValueError: A hybrid query to a store without, or one that lacks text or embedding; or
                what is no filter.
        """
        require_filter("qdrant_filters", kwargs.get("qdrant_filters"))
        if query.mode not in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE):
            return super().query(query, **kwargs)
        _check_worded(query, self.enable_hybrid)
        if query.mode == VectorStoreQueryMode.SPARSE:
            return super().query(query, **kwargs)
        return self._hybrid(query, **kwargs)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the nodes nearest to a query; see `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def _hybrid(
        self,
        query: VectorStoreQuery,
        *,
        qdrant_filters: models.Filter | None = None,
        search_params: models.SearchParams | dict[str, Any] | None = None,
    ) -> VectorStoreQueryResult:
        weight = WEIGHT if query.alpha is None else query.alpha
        require_weight(weight)
        if isinstance(search_params, dict):
            search_params = models.SearchParams(**search_params)
        asked = HybridQuery(
            self._client,
            self.collection_name,
            query.query_str or "",
            query.query_embedding or [],
            self._build_query_filter(query) if qdrant_filters is None else qdrant_filters,
            search_params,
        )
        k = query.hybrid_top_k or query.similarity_top_k
        found = asked.points(k, weight, max(DEPTH, query.sparse_top_k or 0))
        return self.parse_to_query_result(found)


def words_of_documents(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    """Return indices and saturated frequencies of the words of each document."""
    vectors = [document_vector(text) for text in texts]
    return [each.indices for each in vectors], [each.values for each in vectors]


def words_of_queries(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    """Return indices and ones of the words of each query."""
    vectors = [query_vector(text) for text in texts]
    return [each.indices for each in vectors], [each.values for each in vectors]


def _check_worded(query: VectorStoreQuery, enable_hybrid: bool) -> None:
    """Raise ValueError unless a query that is to be found by its words can be."""
    mode = query.mode.value
    if not enable_hybrid:
        raise ValueError(
            f"the query's mode is {mode!r}, and this store has no words to search by; expected "
            "mode 'default'. Open the store with as_llama_index(enable_hybrid=True)."
        )
    if not query.query_str:
        raise ValueError(
            f"the query's mode is {mode!r}, and its query_str is {query.query_str!r}; expected the "
            "query's text. Pass query_str, as LlamaIndex's retrievers do."
        )
    if mode == "hybrid" and not query.query_embedding:
        raise ValueError(
            "the query's mode is 'hybrid', and it has no query_embedding; expected the query's "
            "embedding. Pass it, or ask a VectorStoreIndex, which embeds queries."
        )
