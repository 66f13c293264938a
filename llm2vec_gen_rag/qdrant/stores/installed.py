"""The frameworks' own Qdrant stores, each where its package is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qdrant_client import AsyncQdrantClient, QdrantClient

from llm2vec_gen_rag.qdrant.points.bm25 import SPARSE_VECTOR
from llm2vec_gen_rag.qdrant.points.payload import TEXT_KEY
from llm2vec_gen_rag.qdrant.stores.awaited_client import AsyncCollectionClient

if TYPE_CHECKING:
    from langchain_qdrant import QdrantVectorStore, RetrievalMode
    from llama_index.vector_stores.qdrant import QdrantVectorStore as QdrantNodeStore

    from llm2vec_gen_rag.model import LLM2VecGen


def langchain_store(
    client: QdrantClient, name: str, model: LLM2VecGen, mode: RetrievalMode | None
) -> QdrantVectorStore:
    """Return LangChain's store; see `DocumentCollection.as_langchain`."""
    from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings

    try:
        import langchain_qdrant  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing("LangChain", "langchain-qdrant", error) from error
    from llm2vec_gen_rag.qdrant.stores.hybrid_langchain import WordVectors, as_mode
    from llm2vec_gen_rag.qdrant.stores.langchain import LangChainStore

    return LangChainStore(
        client=client,
        collection_name=name,
        embedding=LLM2VecGenEmbeddings(model=model),
        retrieval_mode=as_mode(mode),
        sparse_embedding=WordVectors(),
        sparse_vector_name=SPARSE_VECTOR,
        validate_collection_config=False,  # opening has checked, and without embedding a text
    )


def llama_index_store(client: QdrantClient, name: str, enable_hybrid: bool) -> QdrantNodeStore:
    """Return LlamaIndex's store; see `DocumentCollection.as_llama_index`."""
    try:
        import llama_index.vector_stores.qdrant  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing("LlamaIndex", "llama-index-vector-stores-qdrant", error) from error
    from llm2vec_gen_rag.qdrant.stores.hybrid_llama_index import (
        words_of_documents,
        words_of_queries,
    )
    from llm2vec_gen_rag.qdrant.stores.llama_index import LlamaIndexStore

    return LlamaIndexStore(  # type: ignore[call-arg]  # mypy sees the fields, not upstream's __init__
        collection_name=name,
        client=client,
        aclient=cast("AsyncQdrantClient", AsyncCollectionClient(client)),
        text_key=TEXT_KEY,
        enable_hybrid=enable_hybrid,
        sparse_vector_name=SPARSE_VECTOR,
        sparse_doc_fn=words_of_documents,
        sparse_query_fn=words_of_queries,
    )


def _missing(framework: str, distribution: str, error: ModuleNotFoundError) -> ImportError:
    return ImportError(
        f"{framework}'s own Qdrant store is not installed ({error}). "
        f"Run: pip install {distribution}",
        name=error.name,
    )
