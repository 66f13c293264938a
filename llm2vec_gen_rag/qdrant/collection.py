"""`DocumentCollection`: one Qdrant collection, bound to the model that wrote it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, cast

from qdrant_client import QdrantClient
from tqdm import tqdm

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.qdrant import call_arguments, searching
from llm2vec_gen_rag.qdrant.awaited import in_thread, on_worker
from llm2vec_gen_rag.qdrant.documents import Document, Hit, IndexReport
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT, require_weight
from llm2vec_gen_rag.qdrant.lent.client import LentClient, lender_of
from llm2vec_gen_rag.qdrant.lent.stores_client import StoresClient
from llm2vec_gen_rag.qdrant.opening.connection import connect
from llm2vec_gen_rag.qdrant.opening.identity import claim
from llm2vec_gen_rag.qdrant.opening.local_folder import hasten_commits
from llm2vec_gen_rag.qdrant.opening.location import require_collection_name
from llm2vec_gen_rag.qdrant.opening.shared_client import require_open
from llm2vec_gen_rag.qdrant.points.stamps import Holder
from llm2vec_gen_rag.qdrant.stored_documents import StoredDocuments
from llm2vec_gen_rag.qdrant.stores.installed import langchain_store, llama_index_store
from llm2vec_gen_rag.qdrant.writing import indexing
from llm2vec_gen_rag.qdrant.writing.pruning import prune

if TYPE_CHECKING:
    from langchain_qdrant import QdrantVectorStore as LangChainStore
    from langchain_qdrant import RetrievalMode
    from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore

    from llm2vec_gen_rag.encoder import Vectors
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.qdrant.filters import Where


class DocumentCollection(StoredDocuments):
    """Documents in Qdrant, found by the answer that a query asks for.

    One collection serves this class, LangChain's `QdrantVectorStore` and LlamaIndex's: what one
    writes, the others find, return and filter. It remembers the model, its base model and the
    instructions that wrote it, and cannot be opened with any other. The dtype may be another one;
    int8 beside a floating-point dtype only for models that 8 bits hardly change, which is measured.

    Several threads may use one collection. A folder belongs to one process at a time. Each method
    has an async twin: `asearch` for `search`, and `async_sync` for `sync`.

    Warning:
        In a folder, qdrant-client stores points as pickles, and reading a pickle can run code:
        never open a folder that you do not trust.

    Args:
        client: A Qdrant client, which you close yourself. `open` is the usual constructor.
        name: The collection. It is created, with cosine distance, if there is none.
        model: The model that embeds its documents and queries.

    Raises:
        ValueError: The client is none, or the model is not a loaded one.
        CollectionMismatchError: The collection was written by another model, on another base
            model, with other instructions, or by something else.
        CollectionError: The name is none that Qdrant allows, the client is closed, or a server
            does not answer as one should.
    """

    def __init__(self, client: QdrantClient, name: str, model: LLM2VecGen) -> None:
        require_collection_name(name)
        call_arguments.require_client(client)
        call_arguments.require_model(model)
        super().__init__(lender_of(client), name)
        stores = cast("QdrantClient", StoresClient(self._client, name))
        self._lent = cast("QdrantClient", LentClient(stores, name))
        self._model = model
        claim(self._client, name, model)

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        name: str,
        model: LLM2VecGen,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> DocumentCollection:
        """Open a collection at a location, and create it if there is none.

        Args:
            location: ``":memory:"``, a folder, in which ``~`` is the home, or a server's URL, such
                as ``http://localhost:6333``. User name and password in it are sent as HTTP basic
                authentication. A path object is always a folder, and so is what begins with "./".
            name: The collection.
            model: The model that embeds its documents and queries.
            api_key: The server's key.
            timeout: Seconds that a server may take for an answer, rounded up to whole ones; None
                leaves it to qdrant-client.

        Returns:
            The collection, which closes its client when it is closed.

        Raises:
            ValueError: The location is none of the three, a key or a timeout came without a server
                or is of no use, or the model is not a loaded one.
            CollectionMismatchError: Another model wrote the collection.
            CollectionError: The name is none that Qdrant allows; the server does not answer as one
                should; or the folder is in use, damaged, or cannot be written.
        """
        require_collection_name(name)
        call_arguments.require_model(model)
        client = connect(location, api_key, timeout)
        try:
            collection = cls(client, name, model)
            hasten_commits(client, name)
        except BaseException:
            client.close()
            raise
        return collection

    def __enter__(self) -> DocumentCollection:
        require_open(self._client)
        return self

    @property
    def client(self) -> QdrantClient:
        """Return the client, through which every point is written whole; see `LentClient`."""
        return self._lent

    @property
    def model(self) -> LLM2VecGen:
        """Return the model that embeds this collection's documents and queries."""
        return self._model

    def index(
        self,
        documents: Iterable[Document],
        *,
        source: str = "",
        batch_size: int = 128,
        show_progress: bool = False,
    ) -> IndexReport:
        """Add the documents that are new, replace those that changed, leave the rest alone.

        The iterable is read batch by batch, so it may be larger than memory. Indexing the same
        documents again changes nothing; after an interruption it finishes the work.
        Give many documents in one call: they are embedded together.

        Args:
            documents: What to index. Of a long text the model reads the beginning only; see
                `Document`, and `IndexReport.truncated`.
            source: Where they come from, such as a folder's path, for `sync`. Two sources may hold
                the same document; if they give one id different contents, both are kept. What the
                frameworks' stores add is kept beside either.
            batch_size: Documents looked up, embedded and written together.
            show_progress: Show a progress bar.

        Returns:
            How many documents were added, replaced, left unchanged, and truncated.

        Raises:
            ValueError: ``batch_size`` is below 1, something is no `Document`, or an id comes twice
                with different contents; the batches before it are written.
        """
        return self._index(documents, source, batch_size, show_progress, seen=None)

    def sync(
        self,
        documents: Iterable[Document],
        *,
        source: str = "",
        batch_size: int = 128,
        show_progress: bool = False,
        allow_empty: bool = True,
    ) -> IndexReport:
        """Index, then let go of what ``source`` no longer holds; see `index` for the arguments.

        A document is removed when the last source that held it lets go of it. What other sources
        hold, and what the frameworks' stores added, stays, even under the same id. An empty
        iterable lets go of all that the source held. If reading ``documents`` fails, nothing is
        removed.

        Args:
            documents: All that the source holds now.
            source: The source's name, or its path.
            batch_size: Documents looked up, embedded and written together.
            show_progress: Show a progress bar.
            allow_empty: Whether the source may be empty. False is for sources that look empty
                when they fail, such as a drive that may be unmounted.

        Returns:
            How many documents were added, replaced, left unchanged, truncated and removed.

        Raises:
            ValueError: ``batch_size`` is below 1, something is no `Document`, or an id comes twice
                with different contents; nothing is removed.
            CollectionError: There are no documents, and ``allow_empty`` is False while the
                collection holds some of this source; nothing is removed.
        """
        seen: dict[Holder, set[str]] = {}
        report = self._index(documents, source, batch_size, show_progress, seen=seen)
        held = seen.get(Holder(source), set())
        return report + prune(
            self._client,
            self._name,
            [source],
            lambda point, holder: holder.source == source and point not in held,
            may_empty=allow_empty or bool(held),
        )

    def adopt(self) -> int:
        """Complete the points that a framework's store wrote through a client of its own.

        Stores from `as_langchain` and `as_llama_index` write complete points. A store built on
        another client writes only the half of the payload that its own framework reads.

        Returns:
            The number of completed points.
        """
        return indexing.adopt(self._client, self._name)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Where | None = None,
        task: str = "retrieval",
        vector: Vectors | None = None,
    ) -> list[Hit]:
        """Find the ``k`` documents nearest to what would answer the query.

        Args:
            query: A question, or any text to search by.
            k: The most hits to return.
            filter: Metadata that hits must have, as ``{"lang": "en"}``. The names are taken as
                they are, dots and all. A value is a string, a number, a boolean, None, a date, a
                list (any of them), or a Qdrant ``Range``. Or a whole Qdrant ``Filter``, on
                ``metadata.lang``.
            task: Which of the model's query instructions to use.
            vector: The query's embedding, if it is known, such as a gate's ``Verdict.vector``:
                shape (dimension,). None embeds the query.

        Returns:
            The hits, best first.

        Raises:
            ValueError: The query is no string, ``k`` is below 1, the model knows no such task, the
                vector is none of the model's, or Qdrant cannot look for what the filter asks.
        """
        call_arguments.require_query(query)
        if vector is None:
            return self.search_many([query], k, filter=filter, task=task)[0]
        require_positive("k", k)
        call_arguments.require_vector(vector, self._model.dimension)
        require_open(self._client)
        return searching.nearest(self._client, self._name, vector[None], k, filter)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        filter: Where | None = None,
        task: str = "retrieval",
    ) -> list[list[Hit]]:
        """Search for each query, embedded in one call and sent in one request; see `search`."""
        require_positive("k", k)
        listed = call_arguments.as_queries(queries)
        require_open(self._client)
        if not listed:
            return []
        vectors = self._model.encode_query(listed, task=task)
        return searching.nearest(self._client, self._name, vectors, k, filter)

    def hybrid_search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Where | None = None,
        task: str = "retrieval",
        weight: float = WEIGHT,
        vector: Vectors | None = None,
    ) -> list[Hit]:
        """Search by meaning and by words (BM25) together; see `search`, and `hybrid.fusion`.

        For names, codes and numbers, which an embedding does not keep. ``weight`` is the
        embedding's, from 0 to 1. The score of a hit is no similarity: 1 is the best by both.
        """
        call_arguments.require_query(query)
        require_positive("k", k)
        require_weight(weight)
        require_open(self._client)
        if vector is None:
            vector = self._model.encode_query(query, task=task)
        call_arguments.require_vector(vector, self._model.dimension)
        return searching.hybrid(self._client, self._name, query, vector, k, filter, weight)

    def as_langchain(self, *, retrieval_mode: RetrievalMode | None = None) -> LangChainStore:
        """Return LangChain's own ``QdrantVectorStore`` on this collection, with its model.

        What it adds is its own: if a source holds a document of the same id, both are kept. What it
        deletes by an id is everything with that id.

        Args:
            retrieval_mode: None is ``DENSE``; ``HYBRID`` is `hybrid_search`, with its ``weight``.

        Returns:
            A store whose documents come with their ids.

        Raises:
            ImportError: ``langchain-qdrant`` is not installed.
            ValueError: The mode is none of LangChain's.
        """
        require_open(self._client)
        return langchain_store(self._lent, self._name, self._model, retrieval_mode)

    def as_llama_index(self, *, enable_hybrid: bool = False) -> LlamaIndexStore:
        """Return LlamaIndex's own ``QdrantVectorStore`` on this collection.

        Documents of one id are kept as `as_langchain` says; the two stores share theirs.
        LlamaIndex embeds outside its stores: give the index that you build on this one
        ``embed_model=LLM2VecGenEmbedding(model=collection.model)``. Its async methods work too.

        Args:
            enable_hybrid: Whether queries may have mode ``HYBRID``, as `hybrid_search`, with
                ``alpha`` for the weight, or ``SPARSE``, by the words alone.

        Returns:
            The store.

        Raises:
            ImportError: ``llama-index-vector-stores-qdrant`` is not installed.
        """
        require_open(self._client)
        return llama_index_store(self._lent, self._name, enable_hybrid)

    aindex = in_thread(index)
    async_sync = in_thread(sync)
    aadopt = in_thread(adopt)
    asearch = on_worker(search)
    asearch_many = on_worker(search_many)
    ahybrid_search = on_worker(hybrid_search)

    def _index(
        self,
        documents: Iterable[Document],
        source: str,
        batch_size: int,
        show_progress: bool,
        *,
        seen: dict[Holder, set[str]] | None,
    ) -> IndexReport:
        require_positive("batch_size", batch_size)
        call_arguments.require_documents(documents)
        require_open(self._client)
        holder = Holder(source)
        given = ((document, holder) for document in documents)
        total = len(documents) if isinstance(documents, Sized) else None
        with tqdm(total=total, desc="Indexing", unit="doc", disable=not show_progress) as bar:
            return indexing.index_all(
                self._client, self._name, self._model, given, batch_size, bar.update, seen
            )
