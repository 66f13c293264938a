"""LLM2Vec-Gen as LangChain `Embeddings`."""

from __future__ import annotations

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from langchain_core.embeddings import Embeddings
except ModuleNotFoundError as missing:
    raise MissingExtraError("langchain", "langchain_core") from missing

from llm2vec_gen_rag.frameworks.adapter import FrameworkAdapter


class LLM2VecGenEmbeddings(FrameworkAdapter, Embeddings):
    """Embed the answer that an LLM would give, for any LangChain vector store.

    Queries and documents have different instructions. Texts are embedded unchanged, newlines
    included. A vector is a list of floats, of length 1 unless `normalize=False`. The model gets the
    whole list and plans its batches by length. One model can serve several threads and event loops:
    forward passes run one at a time, and awaiting one does not block the loop.

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


def _listed(texts: list[str] | str) -> list[str]:
    """Refuse a single string, for which the model would return a single vector."""
    if isinstance(texts, str):
        raise ValueError(
            f"embed_documents takes a list of strings; got one string, {texts[:60]!r}. Pass "
            "[text], or call embed_query if it is a query."
        )
    return texts
