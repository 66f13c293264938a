"""`StoredDocuments`: what a collection does without its model: read back, delete, export."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, cast

from qdrant_client import QdrantClient

from llm2vec_gen_rag.qdrant import call_arguments
from llm2vec_gen_rag.qdrant.awaited import in_thread
from llm2vec_gen_rag.qdrant.contents import deleting, stored
from llm2vec_gen_rag.qdrant.contents.export import export
from llm2vec_gen_rag.qdrant.documents import StoredDocument
from llm2vec_gen_rag.qdrant.filters import to_filter
from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient, require_open
from llm2vec_gen_rag.qdrant.points.pages import PAGE
from llm2vec_gen_rag.qdrant.writing import indexing

if TYPE_CHECKING:
    from llm2vec_gen_rag.qdrant.filters import Where

_Found: TypeAlias = list[StoredDocument]  # `list` is a method below


class StoredDocuments:
    """The documents of a Qdrant collection, as they are stored.

    Each method has an async twin, `aget` for `get`, which leaves the event loop free.

    Args:
        client: A Qdrant client.
        name: The collection.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client = cast("QdrantClient", CollectionClient(client))
        self._name = name

    def close(self) -> None:
        """Close the client, so that another process can open a folder; then no call works."""
        self._client.close()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Return the collection's name in Qdrant."""
        return self._name

    def count(self) -> int:
        """Return the number of documents in the collection."""
        return int(self._client.count(self._name).count)

    def get(self, ids: Iterable[str]) -> _Found:
        """Return the documents whose `Hit.id` is one of ``ids``, in their order.

        Args:
            ids: Ids of hits, whoever wrote them. Those that no document has are left out.

        Returns:
            The documents. Where two sources, or a source and a store, have different documents
            under one id, both are among them.

        Raises:
            ValueError: One string instead of a list, or an id that is no string.
        """
        listed = call_arguments.as_hit_ids(ids)
        require_open(self._client)
        return stored.get(self._client, self._name, listed)

    def list(self, *, filter: Where | None = None) -> Iterator[StoredDocument]:
        """Iterate over the documents, in no order that means anything.

        They are read page by page as the iteration goes on, so there may be more than memory
        holds. What is written or deleted meanwhile may be among them or not.

        Args:
            filter: Metadata that they must have; see `DocumentCollection.search`.

        Returns:
            An iterator over the documents.

        Raises:
            ValueError: Qdrant cannot look for what the filter asks.
        """
        where = to_filter(filter)
        require_open(self._client)
        return stored.each(self._client, self._name, where)

    async def alist(self, *, filter: Where | None = None) -> AsyncIterator[StoredDocument]:
        """Iterate over the documents, each page read off the event loop; see `list`."""
        documents = self.list(filter=filter)
        while page := await asyncio.to_thread(lambda: [*islice(documents, PAGE)]):
            for document in page:
                yield document

    def delete(self, ids: Iterable[str]) -> None:
        """Delete every document whose `Hit.id` is one of ``ids``; unknown ids are no error.

        Args:
            ids: Ids of hits, whoever wrote them. None of them is nothing to do.

        Raises:
            ValueError: One string instead of a list, or an id that is no string.
        """
        listed = call_arguments.as_hit_ids(ids)
        require_open(self._client)
        indexing.delete(self._client, self._name, listed)

    def delete_where(self, filter: Where) -> int:
        """Delete the documents that have what a filter asks, whoever wrote them.

        A source that still gives one of them adds it again.

        Args:
            filter: Metadata that they must have; see `DocumentCollection.search`. One without
                conditions, `Filter()` too, deletes nothing.

        Returns:
            How many had it when they were deleted.

        Raises:
            ValueError: It is None; Qdrant cannot look for what it asks; or every document passes
                it, as a list in it is empty.
        """
        return deleting.delete_where(self._client, self._name, filter)

    def drop(self) -> None:
        """Delete the collection with all its documents, and what it remembers of its model.

        Then no call works; opening a collection of this name creates it. The client stays open.

        Raises:
            CollectionError: There is no collection of this name: it is an alias, or was deleted.
        """
        deleting.drop(self._client, self._name)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        filter: Where | None = None,
        vectors: bool = False,
    ) -> int:
        """Write the documents to a JSON Lines file, which `llm2vec-gen-rag index` reads back.

        A line has the text as it was indexed, its id, its metadata, and its sources. Indexing the
        file gives the same documents with the same sources; what a framework's store added then
        comes from the file, without a LlamaIndex node's relations to others.

        Args:
            path: A name that ends in ``.jsonl``. A file there is replaced, whole or not at all.
            filter: Metadata that they must have; None exports all.
            vectors: Whether to write the vectors, for other programs.

        Returns:
            How many documents were written.

        Raises:
            ValueError: The name ends in something else, or Qdrant cannot look for what the filter
                asks.
            CollectionError: A point cannot be read.
            StorageError: The file cannot be written.
        """
        require_open(self._client)
        return export(self._client, self._name, path, filter, vectors=vectors)

    acount = in_thread(count)
    aget = in_thread(get)
    adelete = in_thread(delete)
    adelete_where = in_thread(delete_where)
    adrop = in_thread(drop)
    aexport = in_thread(export)
