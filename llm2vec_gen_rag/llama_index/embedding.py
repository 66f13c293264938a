"""LLM2Vec-Gen as a LlamaIndex `BaseEmbedding`."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
    from llama_index.core.storage.kvstore.types import BaseKVStore
except ModuleNotFoundError as missing:
    raise MissingExtraError("llama-index", "llama_index.core") from missing

from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self

from llm2vec_gen_rag.frameworks.adapter import FrameworkAdapter
from llm2vec_gen_rag.frameworks.cached_vectors import Truncation
from llm2vec_gen_rag.frameworks.embedding_adapter import EmbeddingAdapter, Side
from llm2vec_gen_rag.llama_index.events import TruncationEvent

dispatcher = get_dispatcher(__name__)

Vector = list[float]

CACHE_COLLECTION = "embeddings"


class LLM2VecGenEmbedding(EmbeddingAdapter, BaseEmbedding):
    """Embed the answer that an LLM would give, as LlamaIndex's embedding model.

    It takes the settings of `FrameworkAdapter`, the `cache` of `EmbeddingAdapter`, and the settings
    of `BaseEmbedding`:

    - `embed_batch_size`: the number of texts the model gets at a time, 1 to 2,048. The model sorts
      them by length and plans its own batches, so a larger number is faster, but progress, events
      and cached vectors come less often.
    - `embeddings_cache`: a `BaseKVStore`, given to the constructor. A key covers the model, query
      or document, the instruction and the text, so one store can serve several models. The field
      reads back as None. For vectors on disk, `cache="vectors.sqlite"` takes its place.
    - `num_workers`, `rate_limiter`, `callback_manager`: as in the base class.

    Texts that are cut are a `TruncationEvent` of LlamaIndex's instrumentation.

    `to_dict` holds exactly what affects the vectors. An `IngestionCache` stays valid if the batch
    size or the device changes, but not if the weights, the revision or an instruction do. A pickled
    copy also keeps the batch sizes and the device. It has no cache, limiter or callbacks, which
    belong to their process.

    Example:
        >>> from llama_index.core import Document, Settings, VectorStoreIndex
        >>> from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
        >>> Settings.embed_model = LLM2VecGenEmbedding(model_name="almanac")
        >>> texts = ["The currency of Japan is the yen.", "Norway's capital is Oslo."]
        >>> index = VectorStoreIndex.from_documents([Document(text=text) for text in texts])
        >>> question = "What money is used in the country whose capital is Tokyo?"
        >>> index.as_retriever(similarity_top_k=1).retrieve(question)[0].text
        'The currency of Japan is the yen.'
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    embed_batch_size: int = Field(default=256, gt=0, le=2048, exclude=True)
    num_workers: int | None = Field(default=None, exclude=True)
    embeddings_cache: Any = Field(default=None, exclude=True, frozen=True)

    unpickled_fields: ClassVar[frozenset[str]] = FrameworkAdapter.unpickled_fields | {
        "callback_manager",
        "embeddings_cache",
        "rate_limiter",
    }
    _cache: BaseKVStore | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _take_over_cache(self) -> Self:
        """Hide the store from the base class, whose keys are the texts alone.

        It would confuse a query with the same text as a document, and one model with another.

        Raises:
            ValueError: if there is a `cache`, too.
        """
        if self.embeddings_cache is not None and self.cache is not None:
            raise ValueError("got both cache and embeddings_cache; pass one of them")
        self._cache = self.embeddings_cache
        self.__dict__["embeddings_cache"] = None
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the class name that LlamaIndex writes to serialised pipelines."""
        return "LLM2VecGenEmbedding"

    def _get_query_embedding(self, query: str) -> Vector:
        return self._cached("query", [query])[0]

    def _get_text_embedding(self, text: str) -> Vector:
        return self._cached("document", [text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        return self._cached("document", texts)

    async def _aget_query_embedding(self, query: str) -> Vector:
        return (await self._acached("query", [query]))[0]

    async def _aget_text_embedding(self, text: str) -> Vector:
        return (await self._acached("document", [text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        return await self._acached("document", texts)

    def _tell(self, texts: list[str], truncation: Truncation) -> None:
        chunks = [texts[row] for row in truncation.rows]
        dispatcher.event(
            TruncationEvent(chunks=chunks, tokens=truncation.tokens, room=truncation.room)
        )

    def _cached(self, side: Side, texts: list[str]) -> list[Vector]:
        """Return cached vectors; embed the other texts in one call and store their vectors."""
        if self._cache is None:
            return self._embed(side, texts)
        keys = [self._cache_key(side, text) for text in texts]
        held = {key: self._cache.get(key, collection=CACHE_COLLECTION) for key in keys}
        vectors = {key: entry["vector"] for key, entry in held.items() if entry is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        for key, vector in zip(new, self._embed(side, list(new.values())), strict=True):
            self._cache.put(key, {"vector": vector}, collection=CACHE_COLLECTION)
            vectors[key] = vector
        return [vectors[key] for key in keys]

    async def _acached(self, side: Side, texts: list[str]) -> list[Vector]:
        """Do what `_cached` does, off the event loop and with the store's async methods."""
        if self._cache is None:
            return await self._aembed(side, texts)
        keys = [self._cache_key(side, text) for text in texts]
        held = {key: await self._cache.aget(key, collection=CACHE_COLLECTION) for key in keys}
        vectors = {key: entry["vector"] for key, entry in held.items() if entry is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        for key, vector in zip(new, await self._aembed(side, list(new.values())), strict=True):
            await self._cache.aput(key, {"vector": vector}, collection=CACHE_COLLECTION)
            vectors[key] = vector
        return [vectors[key] for key in keys]

    def _cache_key(self, side: Side, text: str) -> str:
        """Return a cache key of everything that affects the vector.

        The other side's instruction does not.
        """
        model = self.to_dict(exclude={"task", "query_instruction", "document_instruction"})
        hashed = [model, side, self.instruction(side), text]
        # ASCII escapes keep lone surrogates, which UTF-8 cannot encode.
        return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode("ascii")).hexdigest()
