"""`AdoptedCollection`: a Qdrant collection of another writer, with our vectors beside its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from qdrant_client import QdrantClient, models
from tqdm import tqdm

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.qdrant import call_arguments
from llm2vec_gen_rag.qdrant.adopting.comparison import Comparison
from llm2vec_gen_rag.qdrant.adopting.embedding import AdoptionReport, Target, embed_missing
from llm2vec_gen_rag.qdrant.adopting.texts import Texts
from llm2vec_gen_rag.qdrant.adopting.vectors import claim_vector, old_vector
from llm2vec_gen_rag.qdrant.awaited import in_thread, on_worker
from llm2vec_gen_rag.qdrant.documents import Document, Hit
from llm2vec_gen_rag.qdrant.filters import to_filter
from llm2vec_gen_rag.qdrant.lent.client import lender_of
from llm2vec_gen_rag.qdrant.opening.connection import connect
from llm2vec_gen_rag.qdrant.opening.location import require_collection_name
from llm2vec_gen_rag.qdrant.opening.shared_client import CollectionClient, require_open
from llm2vec_gen_rag.qdrant.points.pages import scroll

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen
    from llm2vec_gen_rag.qdrant.filters import Where

VECTOR = "llm2vec-gen"


class AdoptedCollection:
    """A collection that LangChain's or LlamaIndex's store wrote, with another model's vectors.

    Its texts are embedded anew, beside the old vectors, as a vector with a name of its own.
    Payloads and old vectors stay as they are, so that the program that wrote them goes on as
    before, and both searches can be compared. The collection remembers which model wrote ours.

    It is searched by the embedding alone: hybrid search needs the words of BM25 as vectors, which a
    `DocumentCollection` writes with its documents. For that move the texts over: ``index`` the
    `documents` of this one there.

    Args:
        client: A Qdrant client, which you close yourself. `open` is the usual constructor.
        name: The collection.
        model: The model that embeds its texts and queries.
        vector: The name of our vector. It is added if there is none.
        text_key: The name in the payload that holds the text; None reads what the frameworks'
            stores write unless they are told otherwise.

    Raises:
        ValueError: The client is none, the model is not a loaded one, or the vector has no name.
        CollectionMismatchError: Another model wrote the vector.
        CollectionError: There is no such collection, or no vector can be added to it.
    """

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        model: LLM2VecGen,
        *,
        vector: str = VECTOR,
        text_key: str | None = None,
    ) -> None:
        require_collection_name(name)
        call_arguments.require_client(client)
        call_arguments.require_model(model)
        if not isinstance(vector, str) or not vector:
            raise ValueError(f"vector is {vector!r:.80}; expected a name, such as {VECTOR!r}.")
        self._client = cast("QdrantClient", CollectionClient(lender_of(client)))
        self._target = Target(self._client, name, vector, Texts(text_key))
        self._model = model
        claim_vector(self._client, name, vector, model)

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        name: str,
        model: LLM2VecGen,
        *,
        vector: str = VECTOR,
        text_key: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> AdoptedCollection:
        """Open a collection of another writer at a location.

        Args:
            location: As of `DocumentCollection.open`.
            name: The collection.
            model: The model that embeds its texts and queries.
            vector: The name of our vector. It is added if there is none.
            text_key: The name in the payload that holds the text.
            api_key: The server's key.
            timeout: Seconds that a server may take for an answer.

        Returns:
            The collection, which closes its client when it is closed.

        Raises:
            ValueError: As of `DocumentCollection.open`, or the vector has no name.
            CollectionMismatchError: Another model wrote the vector.
            CollectionError: As of `DocumentCollection.open`; or there is no such collection, or no
                vector can be added to it.
        """
        require_collection_name(name)
        call_arguments.require_model(model)
        client = connect(location, api_key, timeout)
        try:
            return cls(client, name, model, vector=vector, text_key=text_key)
        except BaseException:
            client.close()
            raise

    def close(self) -> None:
        """Close the client; then no call works."""
        self._client.close()

    def __enter__(self) -> AdoptedCollection:
        require_open(self._client)
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Return the collection's name in Qdrant."""
        return self._target.name

    @property
    def model(self) -> LLM2VecGen:
        """Return the model that embeds this collection's texts and queries."""
        return self._model

    def embed(self, *, batch_size: int = 128, show_progress: bool = False) -> AdoptionReport:
        """Embed the points that lack our vector; after an interruption it finishes the work.

        Run it again when the other program has written more. A point that it writes anew is
        embedded again; a text that it changes with `set_payload` alone is not seen.

        Args:
            batch_size: Points embedded and written together.
            show_progress: Show a progress bar.

        Returns:
            How many points were embedded, had a vector, have no text, and were truncated.

        Raises:
            ValueError: ``batch_size`` is below 1.
            CollectionError: Other programs change the same points all the time.
        """
        require_positive("batch_size", batch_size)
        total = self._client.count(self.name, count_filter=self._target.lacking()).count
        with tqdm(total=total, desc="Adopting", unit="doc", disable=not show_progress) as bar:
            return embed_missing(self._target, self._model, batch_size, bar.update)

    def search(
        self, query: str, k: int = 10, *, filter: Where | None = None, task: str = "retrieval"
    ) -> list[Hit]:
        """Find the ``k`` points nearest to what would answer the query, by our vector.

        Args:
            query: A question, or any text to search by.
            k: The most hits to return.
            filter: As of `DocumentCollection.search`. A mapping is of names in ``metadata``, where
                LangChain's store keeps it; for LlamaIndex's, which has it flat, pass a ``Filter``.
            task: Which of the model's query instructions to use.

        Returns:
            The hits, best first; their ids are those of the points.

        Raises:
            ValueError: The query is no string, ``k`` is below 1, the model knows no such task, or
                Qdrant cannot look for what the filter asks.
        """
        call_arguments.require_query(query)
        require_positive("k", k)
        require_open(self._client)
        embedded = self._model.encode_query(query, task=task)
        return self._nearest(embedded.tolist(), self._target.vector, k, to_filter(filter))

    def compare(
        self,
        queries: Sequence[str],
        embed_query: Callable[[str], Sequence[float]],
        k: int = 5,
        *,
        old_vector_name: str | None = None,
        filter: Where | None = None,
        task: str = "retrieval",
    ) -> list[Comparison]:
        """Search for each query by the old vectors and by ours.

        Args:
            queries: Queries of your own.
            embed_query: Embeds a query as the other program does: ``embed_query`` of LangChain's
                embeddings, ``get_query_embedding`` of LlamaIndex's.
            k: The most hits of each.
            old_vector_name: The old vector; None if there is one only, ``""`` is the unnamed one.
            filter: As of `search`, for both.
            task: Which of the model's query instructions to use.

        Returns:
            Both rankings of each query; `Comparison.table` shows them side by side.

        Raises:
            ValueError: The queries are no list of strings, ``k`` is below 1, there is no such old
                vector, or what ``embed_query`` returns has another length.
        """
        listed = call_arguments.as_queries(queries)
        require_positive("k", k)
        condition = to_filter(filter)
        old, size = old_vector(self._client, self.name, old_vector_name)
        compared = []
        for query in listed:
            vector = _checked(embed_query(query), size)
            hits = self._nearest(vector, old, k, condition)
            ours = self.search(query, k, filter=filter, task=task)
            compared.append(Comparison(query, tuple(hits), tuple(ours)))
        return compared

    def documents(self) -> Iterator[Document]:
        """Iterate over the texts, for `DocumentCollection.index`, once you have decided to move.

        Returns:
            An iterator over documents, read page by page: their ids are those of the points, and
            points without text are left out.
        """
        require_open(self._client)
        return self._documents()

    aembed = in_thread(embed)
    asearch = on_worker(search)
    acompare = in_thread(compare)

    def _documents(self) -> Iterator[Document]:
        for record in scroll(self._client, self.name, models.Filter(), with_payload=True):
            text = self._target.texts.text(record.payload)
            if text is not None:
                metadata = self._target.texts.metadata(record.payload or {})
                yield Document(text, str(record.id), metadata)

    def _nearest(
        self, vector: list[float], using: str, k: int, where: models.Filter | None
    ) -> list[Hit]:
        points = self._client.query_points(
            self.name, query=vector, using=using, query_filter=where, limit=k, with_payload=True
        ).points
        return [self._target.texts.hit(point) for point in points]


def _checked(vector: Sequence[float], size: int) -> list[float]:
    numbers = [float(value) for value in vector]
    if len(numbers) != size:
        raise ValueError(
            f"embed_query returned {len(numbers)} numbers; expected {size}, as the old vectors "
            "have. Pass the embedding that the other program uses."
        )
    return numbers
