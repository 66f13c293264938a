"""LLM2Vec-Gen as a LlamaIndex `BaseEmbedding`."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from llm2vec_gen_rag.errors import MissingExtraError

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.storage.kvstore.types import BaseKVStore
except ModuleNotFoundError as missing:
    raise MissingExtraError("llama-index", "llama_index.core") from missing

from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self

from llm2vec_gen_rag.frameworks.adapter import FrameworkAdapter, Side

Vector = list[float]

CACHE_COLLECTION = "embeddings"


class LLM2VecGenEmbedding(FrameworkAdapter, BaseEmbedding):
    """Embeddings of the answer that an LLM would give, as LlamaIndex's embedding model.

    Beside the settings of `FrameworkAdapter` it takes those of `BaseEmbedding`:

    - `embed_batch_size`: texts handed to the model at a time, 1 to 2,048. The model sorts them by
      length and plans its own forwards, so more is better until progress, events and cached vectors
      come too seldom.
    - `embeddings_cache`: a `BaseKVStore`, given to the constructor. Its keys name the model, the
      side, the instruction and the text; one store may serve several models. It reads back as None.
    - `num_workers`, `rate_limiter`, `callback_manager`: as in the base class.

    `to_dict` holds what decides the vectors, and nothing else: an `IngestionCache` stays valid when
    the batch size or the device changes, and not when the weights, the revision or an instruction
    does. A pickled copy also keeps the batch sizes and the device, but neither the cache nor the
    limiter nor the callbacks, which belong to their process.

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
        """Keep the store out of the base class's sight, which would key on the bare text.

        The vectors of a query and of the same text as a document, or of two models, would pass for
        one another.
        """
        self._cache = self.embeddings_cache
        self.__dict__["embeddings_cache"] = None
        return self

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex writes into serialised pipelines."""
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

    def _cached(self, side: Side, texts: list[str]) -> list[Vector]:
        """Embed the texts whose vectors the cache does not hold, in one call, and store them."""
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
        """Do what `_cached` does, off the event loop and through the store's own async calls."""
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
        """Return a key of everything that decides the vector; the other side's instruction not."""
        model = self.to_dict(exclude={"task", "query_instruction", "document_instruction"})
        decisive = [model, side, self.instruction(side), text]
        # ASCII escapes keep lone surrogates, which UTF-8 cannot encode.
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode("ascii")).hexdigest()
