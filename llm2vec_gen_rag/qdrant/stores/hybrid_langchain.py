"""LangChain's Qdrant store with hybrid search as ours; imported when a store is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings
from langchain_qdrant import SparseVector as WordVector
from qdrant_client import models

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.qdrant.call_arguments import require_filter
from llm2vec_gen_rag.qdrant.hybrid.candidates import HybridQuery
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT, require_weight
from llm2vec_gen_rag.qdrant.points.bm25 import document_vector, query_vector


class WordVectors(SparseEmbeddings):
    """The words that BM25 weighs, as LangChain asks for them."""

    def embed_documents(self, texts: list[str]) -> list[WordVector]:
        """Return the words of documents with their saturated frequencies."""
        return [_word_vector(document_vector(text)) for text in texts]

    def embed_query(self, text: str) -> WordVector:
        """Return the words of a query."""
        return _word_vector(query_vector(text))


class HybridLangChainStore(QdrantVectorStore):
    """`langchain_qdrant.QdrantVectorStore`, except for hybrid search and for adding documents.

    - Hybrid search finds what `DocumentCollection.hybrid_search` finds, unless ``hybrid_fusion``
      asks for a fusion of Qdrant's own. There each ranking ends after ``k`` documents, and what is
      beyond counts as nothing.
    - Documents are added with their embeddings in every mode, words alone too.
    """

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        offset: int = 0,
        score_threshold: float | None = None,
        consistency: models.ReadConsistency | None = None,
        hybrid_fusion: models.FusionQuery | None = None,
        *,
        weight: float | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a query; see upstream's.

        Args:
            query: The query.
            k: The most documents.
            filter: As there.
            search_params: As there.
            offset: As there.
            score_threshold: As there; in hybrid search, of the fused score.
            consistency: As there.
            hybrid_fusion: Qdrant's own fusion, in place of ours.
            weight: Of the embedding in hybrid search; see `DocumentCollection.hybrid_search`.
            **kwargs: As there; none in our hybrid search.

        Returns:
            Documents and scores, best first.

        Raises:
            ValueError: A filter or a weight that is none, or a weight for a search that has no use
                for it.
        """
        require_filter("filter", filter)
        # upstream's arguments, but for the query and k
        options: dict[str, Any] = {
            "filter": filter,
            "search_params": search_params,
            "offset": offset,
            "score_threshold": score_threshold,
            "consistency": consistency,
        }
        if self.retrieval_mode != RetrievalMode.HYBRID or hybrid_fusion is not None:
            _require_no_weight(weight, self.retrieval_mode)
            options["hybrid_fusion"] = hybrid_fusion
            return super().similarity_search_with_score(query, k, **options, **kwargs)
        if kwargs:
            raise ValueError(
                f"hybrid search got {sorted(kwargs)}; expected weight or LangChain's own "
                "arguments. Leave them out, or pass hybrid_fusion for Qdrant's own fusion."
            )
        return self._hybrid(query, k, WEIGHT if weight is None else weight, **options)

    def _hybrid(
        self,
        query: str,
        k: int,
        weight: float,
        *,
        filter: models.Filter | None,
        search_params: models.SearchParams | None,
        offset: int,
        score_threshold: float | None,
        consistency: models.ReadConsistency | None,
    ) -> list[tuple[Document, float]]:
        require_positive("k", k)
        require_weight(weight)
        vector = self._require_embeddings("HYBRID mode").embed_query(query)
        asked = HybridQuery(
            self.client, self.collection_name, query, vector, filter, search_params, consistency
        )
        keys = (self.collection_name, self.content_payload_key, self.metadata_payload_key)
        return [
            (self._document_from_point(point, *keys), point.score)
            for point in asked.points(offset + k, weight)[offset:]
            if score_threshold is None or point.score >= score_threshold
        ]

    def _build_vectors(self, texts: Iterable[str]) -> list[models.VectorStruct]:
        """Return the embeddings, in every mode; the client adds the words."""
        embedded = self._require_embeddings("adding texts").embed_documents(list(texts))
        return [{self.vector_name: vector} for vector in embedded]


def as_mode(mode: object) -> RetrievalMode:
    """Return a mode of LangChain's; None is dense, and anything else a ValueError."""
    if isinstance(mode, RetrievalMode):
        return mode
    if mode is None:
        return RetrievalMode.DENSE
    raise ValueError(
        f"retrieval_mode is {mode!r:.80}; expected langchain_qdrant.RetrievalMode.DENSE, HYBRID or "
        "SPARSE."
    )


def _word_vector(words: models.SparseVector) -> WordVector:
    return WordVector(indices=words.indices, values=words.values)


def _require_no_weight(weight: float | None, mode: RetrievalMode) -> None:
    if weight is not None:
        raise ValueError(
            f"weight is {weight!r} in a search by {mode.value} vectors or by a fusion of Qdrant's; "
            "expected none. Open the store with retrieval_mode=RetrievalMode.HYBRID, and leave "
            "hybrid_fusion out."
        )
