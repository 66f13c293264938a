"""LangChain's Qdrant store, whose documents know their ids; imported when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore

from llm2vec_gen_rag.qdrant.payload import read_id


class LangChainStore(QdrantVectorStore):
    """`langchain_qdrant.QdrantVectorStore`, except for what LangChain's own tests ask of ids.

    - A document that is found has the id it was written with. There it is None, and only the
      metadata has the point's id, as ``_id``, which it has here too.
    - Of several documents, some may come without an id.
    - Texts may come from a generator. There it is read for its length, and nothing is added.
    """

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
            ValueError: There are not as many ids or mappings as texts.
        """
        listed = list(texts)
        given = list(ids or [None] * len(listed))  # upstream too takes [] for no ids
        for what, values in (("ids", given), ("metadatas", metadatas)):
            if values and len(values) != len(listed):
                raise ValueError(
                    f"got {len(values)} {what} for {len(listed)} texts; expected one for each."
                )
        every = [uuid4().hex if one is None else one for one in given]
        return super().add_texts(listed, metadatas, every, batch_size, **kwargs)

    @classmethod
    def _document_from_point(cls, scored_point: Any, *names: str) -> Document:
        document = super()._document_from_point(scored_point, *names)
        document.id = read_id(scored_point.id, scored_point.payload)
        return document
