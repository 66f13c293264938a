"""The frameworks' own Qdrant stores, each where its package is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qdrant_client import AsyncQdrantClient, QdrantClient

from llm2vec_gen_rag.qdrant.points.payload import TEXT_KEY
from llm2vec_gen_rag.qdrant.stores.awaited_client import AsyncCollectionClient

if TYPE_CHECKING:
    from langchain_qdrant import QdrantVectorStore
    from llama_index.vector_stores.qdrant import QdrantVectorStore as QdrantNodeStore

    from llm2vec_gen_rag.model import LLM2VecGen


def langchain_store(client: QdrantClient, name: str, model: LLM2VecGen) -> QdrantVectorStore:
    """Return LangChain's store; see `DocumentCollection.as_langchain`."""
    from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings

    try:
        import langchain_qdrant  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing("LangChain", "langchain-qdrant", error) from error
    from llm2vec_gen_rag.qdrant.stores.langchain import LangChainStore

    return LangChainStore(
        client=client,
        collection_name=name,
        embedding=LLM2VecGenEmbeddings(model=model),
        validate_collection_config=False,  # opening has checked, and without embedding a text
    )


def llama_index_store(client: QdrantClient, name: str) -> QdrantNodeStore:
    """Return LlamaIndex's store; see `DocumentCollection.as_llama_index`."""
    try:
        import llama_index.vector_stores.qdrant  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing("LlamaIndex", "llama-index-vector-stores-qdrant", error) from error
    from llm2vec_gen_rag.qdrant.stores.llama_index import LlamaIndexStore

    return LlamaIndexStore(  # type: ignore[call-arg]  # mypy sees the fields, not upstream's __init__
        collection_name=name,
        client=client,
        aclient=cast("AsyncQdrantClient", AsyncCollectionClient(client)),
        text_key=TEXT_KEY,
    )


def _missing(framework: str, distribution: str, error: ModuleNotFoundError) -> ImportError:
    return ImportError(
        f"{framework}'s own Qdrant store is not installed ({error}). "
        f"Run: pip install {distribution}",
        name=error.name,
    )
