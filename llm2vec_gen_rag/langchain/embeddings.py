"""LLM2Vec-Gen as LangChain `Embeddings`."""

from __future__ import annotations

from dataclasses import asdict

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config
except ModuleNotFoundError as missing:
    raise MissingExtraError("langchain", "langchain_core") from missing

from llm2vec_gen_rag.frameworks.cached_vectors import Truncation
from llm2vec_gen_rag.frameworks.embedding_adapter import EmbeddingAdapter

TRUNCATION_EVENT = "llm2vec_gen_truncation"


class LLM2VecGenEmbeddings(EmbeddingAdapter, Embeddings):
    """Embed the answer that an LLM would give, for any LangChain vector store.

    Queries and documents have different instructions. Texts are embedded unchanged, newlines
    included. A vector is a list of floats, of length 1 unless `normalize=False`. The model gets the
    whole list and plans its batches by length. One model can serve several threads and event loops:
    forward passes run one at a time, and awaiting one does not block the loop.

    `cache="vectors.sqlite"` keeps vectors on disk; `cache_namespace` is for other caches. Within a
    chain, texts that are cut are a custom event, "llm2vec_gen_truncation", with "rows", "tokens"
    and "room" (see `Truncation`); outside of one, LangChain's embeddings have no callbacks.

    Example:
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
        >>> store = InMemoryVectorStore(LLM2VecGenEmbeddings(model_name="almanac"))
        >>> texts = ["The currency of Japan is the yen.", "Norway's capital is Oslo."]
        >>> ids = store.add_texts(texts)
        >>> question = "What money is used in the country whose capital is Tokyo?"
        >>> store.similarity_search(question, k=1)[0].page_content
        'The currency of Japan is the yen.'
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents, in their order.

        Args:
            texts: the documents; an empty list gives an empty list.

        Returns:
            One vector of `model.dimension` floats per document.

        Raises:
            ValueError: if `texts` is a single string, or an item is not a string.
        """
        return self._embed("document", _listed(texts))

    def embed_query(self, text: str) -> list[float]:
        """Embed one query.

        Args:
            text: the query.

        Returns:
            A vector of `model.dimension` floats.

        Raises:
            ValueError: if `text` is not a string.
        """
        return self._embed("query", [text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents off the event loop; see `embed_documents`."""
        return await self._aembed("document", _listed(texts))

    async def aembed_query(self, text: str) -> list[float]:
        """Embed one query off the event loop; see `embed_query`."""
        return (await self._aembed("query", [text]))[0]

    def _tell(self, texts: list[str], truncation: Truncation) -> None:
        if _within_a_run():
            dispatch_custom_event(TRUNCATION_EVENT, asdict(truncation))

    async def _atell(self, texts: list[str], truncation: Truncation) -> None:
        if _within_a_run():
            await adispatch_custom_event(TRUNCATION_EVENT, asdict(truncation))


def _within_a_run() -> bool:
    """Return whether a chain or another runnable is running, which has the callbacks."""
    return get_callback_manager_for_config(ensure_config()).parent_run_id is not None


def _listed(texts: list[str] | str) -> list[str]:
    """Refuse a single string, for which the model would return a single vector."""
    if isinstance(texts, str):
        raise ValueError(
            f"embed_documents takes a list of strings; got one string, {texts[:60]!r}. Pass "
            "[text], or call embed_query if it is a query."
        )
    return texts
