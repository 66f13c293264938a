"""One Qdrant collection of documents that LangChain and LlamaIndex both read and write."""

from __future__ import annotations

from llm2vec_gen_rag.errors import require_extra

require_extra("qdrant", "qdrant_client")

from llm2vec_gen_rag.qdrant.adopting.collection import AdoptedCollection  # noqa: E402
from llm2vec_gen_rag.qdrant.collection import DocumentCollection  # noqa: E402
from llm2vec_gen_rag.qdrant.documents import (  # noqa: E402
    Document,
    Hit,
    IndexReport,
    StoredDocument,
)

__all__ = [
    "AdoptedCollection",
    "Document",
    "DocumentCollection",
    "Hit",
    "IndexReport",
    "StoredDocument",
]
