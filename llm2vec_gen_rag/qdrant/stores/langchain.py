"""LangChain's Qdrant store, whose documents know their ids; imported when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document
from pydantic_core import to_jsonable_python

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.qdrant.call_arguments import as_ids, as_list
from llm2vec_gen_rag.qdrant.json_values import require_json, require_text
from llm2vec_gen_rag.qdrant.opening.shared_client import require_open
from llm2vec_gen_rag.qdrant.points.ids import require_one_spelling
from llm2vec_gen_rag.qdrant.points.malformed import require_well_formed
from llm2vec_gen_rag.qdrant.points.payload import METADATA_KEY, TEXT_KEY, read_id, read_payload
from llm2vec_gen_rag.qdrant.stores.hybrid_langchain import HybridLangChainStore


class LangChainStore(HybridLangChainStore):
    """`langchain_qdrant.QdrantVectorStore`, except for what LangChain's own tests ask of ids.

    - A document that is found has the id it was written with. There it is None, and only the
      metadata has the point's id, as ``_id``, which it has here too.
    - Of several documents, some may come without an id.
    - Texts may come from a generator. There it is read for its length, and nothing is added.
    - What would not come back as it was is refused before anything is embedded.
    - What is no list of documents is refused by name.
    - Hybrid search is ours; see `HybridLangChainStore`.
    """

    def add_documents(  # type: ignore[override]  # as `add_texts`
        self, documents: list[Document], **kwargs: Any
    ) -> list[str | int]:
        """Add documents; see `add_texts`.

        Args:
            documents: The documents.
            **kwargs: Arguments of `add_texts`.

        Returns:
            Their ids.

        Raises:
            ValueError: They are no list of documents, or as `add_texts`.
        """
        return [*super().add_documents(_listed_documents(documents), **kwargs)]

    def add_texts(  # type: ignore[override]  # as upstream's
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        ids: Sequence[str | int | None] | None = None,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> list[str | int]:
        """Add texts; see `langchain_qdrant.QdrantVectorStore.add_texts`.

        Args:
            texts: The texts.
            metadatas: As many mappings, or None.
            ids: As many ids, or None. A new one is made where there is none.
            batch_size: Texts embedded and written together.
            **kwargs: Options of `QdrantClient.upsert`.

        Returns:
            The ids.

        Raises:
            ValueError: There are not as many ids or mappings as texts, one of them is not what
                a `llm2vec_gen_rag.qdrant.Document` could hold, or two ids are spellings of one
                UUID.
        """
        require_positive("batch_size", batch_size)  # upstream adds nothing in batches of none
        listed = _listed_texts(texts)
        # upstream too takes [] for no ids
        given = as_list("ids", ids or [None] * len(listed), "ids")
        mappings = list(metadatas or [])
        for what, values in (("ids", given), ("metadatas", mappings)):
            if values and len(values) != len(listed):
                raise ValueError(
                    f"got {len(values)} {what} for {len(listed)} texts; expected one for each."
                )
        _check_metadatas(mappings)
        require_open(self.client)
        every = as_ids("ids", [uuid4().hex if one is None else one for one in given])
        spellings: dict[str, str] = {}
        for one in every:
            require_one_spelling(one, spellings)
        return super().add_texts(listed, mappings or None, every, batch_size, **kwargs)

    def delete(  # type: ignore[override]  # as upstream's
        self, ids: list[str | int] | None = None, **kwargs: Any
    ) -> bool | None:
        """Delete the documents with these ids.

        Args:
            ids: The ids. None of them is nothing to do.
            **kwargs: None; LangChain's signature has them.

        Returns:
            True: none of the ids is in the collection any more. An id that was not there is no
            failure, which False would be to `langchain_core.indexing.index`.

        Raises:
            ValueError: There is no list of ids, or something else is in it.
        """
        if ids is None:
            raise ValueError(
                "ids is None; expected a list of ids. To delete every document, call "
                "client.delete(collection_name, qdrant_client.models.Filter())."
            )
        return super().delete(as_ids("ids", ids), **kwargs)

    @classmethod
    def _document_from_point(cls, scored_point: Any, collection: str, *keys: str) -> Document:
        payload = scored_point.payload
        require_well_formed(collection, scored_point.id, payload)
        text, metadata = read_payload(scored_point.id, payload)
        half = {TEXT_KEY: text, METADATA_KEY: dict(metadata)}  # which another client left out
        point = scored_point.model_copy(update={"payload": half})
        document = super()._document_from_point(point, collection, *keys)
        document.id = read_id(scored_point.id, payload)
        return document


def _listed_texts(texts: Iterable[str]) -> list[str]:
    """Return the texts as a list; raise ValueError if one of them is no text."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise ValueError(f"texts is {texts!r:.80}; expected a list of strings, such as [text].")
    listed = list(texts)
    for place, text in enumerate(listed):
        require_text(f"texts[{place}]", text)
    return listed


def _listed_documents(documents: Any) -> list[Document]:
    """Return documents as a list; raise ValueError if something else is among them."""
    listed = as_list("documents", documents, "LangChain's documents")
    for place, document in enumerate(listed):
        if not isinstance(document, Document):
            raise ValueError(
                f"documents[{place}] is {document!r:.80}; expected a document of LangChain, "
                "Document(page_content=text). To add texts, call add_texts."
            )
    return listed


def _check_metadatas(metadatas: list[dict[str, Any]]) -> None:
    """Raise ValueError unless each is None, or JSON where Qdrant writes dates and the like so."""
    for place, metadata in enumerate(metadatas):
        if not isinstance(metadata, Mapping | None):
            raise ValueError(f"metadatas[{place}] is {metadata!r:.80}; expected a mapping.")
        require_json(f"metadatas[{place}]", metadata, to_jsonable_python)
