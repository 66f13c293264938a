"""LlamaIndex's Qdrant store, which can be cleared; imported when one is asked for."""

from __future__ import annotations

from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import models

_EVERYTHING = models.FilterSelector(filter=models.Filter())


class LlamaIndexStore(QdrantVectorStore):
    """`llama_index.vector_stores.qdrant.QdrantVectorStore`, except that clearing it empties it.

    There the collection is deleted, and created with the next nodes: without the record of the
    model that wrote it, and without the words for hybrid search.
    """

    def clear(self) -> None:
        """Delete every document of the collection, whoever wrote it."""
        self._client.delete(self.collection_name, _EVERYTHING)

    async def aclear(self) -> None:
        """Delete every document of the collection, whoever wrote it."""
        await self._aclient.delete(self.collection_name, _EVERYTHING)
