"""What both frameworks' embedding classes do: embed by side, with a cache, and say what is cut."""

from __future__ import annotations

import asyncio
import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, PrivateAttr, field_validator
from typing_extensions import Self

from llm2vec_gen_rag.arguments import require_string
from llm2vec_gen_rag.frameworks.adapter import FrameworkAdapter
from llm2vec_gen_rag.frameworks.cached_vectors import Embedded, Truncation, embed_all, embed_new
from llm2vec_gen_rag.frameworks.query_vectors import MAX_LENGTH, known_vector, remember_given
from llm2vec_gen_rag.frameworks.worker_thread import run_on_worker
from llm2vec_gen_rag.vectors.cache import VectorCache

if TYPE_CHECKING:
    from llm2vec_gen_rag.vectors.encoded_texts import EncodedTexts

Side = Literal["query", "document"]


class EmbeddingAdapter(FrameworkAdapter):
    """A model that embeds for a framework.

    Attributes:
        cache: a file in which vectors are kept, or a `VectorCache`: a text is embedded once, in
            whichever process, framework or session. A key covers the LLM's weights and the
            checkpoint's, the side, its instruction, `dtype`, `max_length`, `normalize` and the
            text, so that one file serves any models and settings. Not among the saved settings; a
            pickled copy opens the same file.
    """

    cache: Any = Field(default=None, exclude=True, frozen=True, repr=False)

    _weights: str = PrivateAttr(default="")

    @field_validator("cache", mode="before")
    @classmethod
    def _opened_cache(cls, value: Any) -> VectorCache | None:
        """Accept a file as a path."""
        return value if value is None or isinstance(value, VectorCache) else VectorCache(value)

    def with_task(self, task: str) -> Self:
        """Return this adapter for another task: a copy with the same model and cache.

        Args:
            task: a name that the model's `prompts.for_query` knows, such as "claims" or
                "mteb/Banking77Classification".

        Returns:
            One whose queries have the instruction of the task, and whose documents have it, too, if
            the task knows no queries and documents, as in clustering.

        Raises:
            ValueError: if the task is unknown.
        """
        prompts = self.loaded_model().prompts
        query, document = prompts.for_query(task), prompts.for_document(task)
        return self.model_copy(
            update={"task": task, "query_instruction": query, "document_instruction": document}
        )

    def with_instructions(self, *, query: str | None = None, document: str | None = None) -> Self:
        """Return this adapter with other instructions: a copy with the same model and cache.

        Args:
            query: precedes every query; None leaves it as it is.
            document: precedes every document, likewise.

        Returns:
            The copy.

        Raises:
            ValueError: if one is no string.
        """
        given = {"query_instruction": query, "document_instruction": document}
        update = {name: text for name, text in given.items() if text is not None}
        for name, text in update.items():
            require_string(name, text)
        return self.model_copy(update=update)

    @property
    def cache_namespace(self) -> str:
        """All that decides the vectors of queries and documents, as 64 characters.

        For caches that tell models apart by a name, such as LangChain's `CacheBackedEmbeddings`:
        give the queries a store of their own there (`query_embedding_cache=another_store`, never
        `True`), as it keys both sides by the text alone.
        """
        return self._namespace(self.instruction("query"), self.instruction("document"))

    def instruction(self, side: Side) -> str:
        """Return the instruction for queries or for documents."""
        stated = self.query_instruction if side == "query" else self.document_instruction
        return cast("str", stated)  # the constructor has replaced None by the model's

    def _embed(self, side: Side, texts: list[str]) -> list[list[float]]:
        """Return one vector of Python floats per text, computed in one call of the model."""
        done = self._embedded(side, texts)
        if done.truncation is not None:
            self._tell(texts, done.truncation)
        return done.vectors

    async def _aembed(self, side: Side, texts: list[str]) -> list[list[float]]:
        """Do what `_embed` does, off the event loop and after earlier calls."""
        if self.model is not None and (known := self._known(side, texts)) is not None:
            return [known]
        model = await asyncio.to_thread(self.loaded_model) if self.model is None else self.model
        done = await run_on_worker(model, partial(self._embedded, side, texts))
        if done.truncation is not None:
            await self._atell(texts, done.truncation)
        return done.vectors

    def _tell(self, texts: list[str], truncation: Truncation) -> None:
        """Tell the framework's listeners, if it has any, which texts were cut."""

    async def _atell(self, texts: list[str], truncation: Truncation) -> None:
        """Do what `_tell` does, from a coroutine."""
        self._tell(texts, truncation)

    def _embedded(self, side: Side, texts: list[str]) -> Embedded:
        """Embed texts, but for a query that a gate has read, and for what the cache holds."""
        if (known := self._known(side, texts)) is not None:
            return Embedded([known], None)
        encode = partial(self._encode, side)
        if self.cache is None:
            done = embed_all(texts, encode)
        else:
            namespace = self._namespace(side, self.instruction(side))
            done = embed_new(texts, encode, self.cache, namespace)
        if side == "query":
            for text, vector in zip(texts, done.vectors, strict=True):
                remember_given(self.loaded_model(), self.instruction(side), text, vector)
        return done

    def _known(self, side: Side, texts: list[str]) -> list[float] | None:
        """Return the vector that a gate has read of a lone query, if it is what `_embed` gives."""
        is_query = side == "query" and len(texts) == 1
        if not is_query or not self.normalize or self.max_length != MAX_LENGTH:
            return None
        return known_vector(self.loaded_model(), self.instruction(side), texts[0])

    def _encode(self, side: Side, texts: list[str]) -> EncodedTexts:
        return self.loaded_model().encode_with_lengths(
            texts,
            instruction=self.instruction(side),
            max_length=self.max_length,
            normalize=self.normalize,
            batch_size=self.batch_size,
        )

    def _namespace(self, *instructions: str) -> str:
        """Return a hash of what decides a vector, the text aside."""
        settings = [self.fingerprint, self._weights_read(), self.dtype, self.max_length]
        parts = [*settings, self.normalize, *instructions]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _weights_read(self) -> str:
        """Return checksums of the LLM's weights, which the fingerprint does not cover."""
        # here, as it imports torch: a model has done so already
        from llm2vec_gen_rag.backbone.digest import weight_checksums, weights_digest

        if not self._weights:
            backbone = self.loaded_model().backbone
            checksums = weight_checksums(backbone)
            self._weights = json.dumps([weights_digest(backbone), checksums], sort_keys=True)
        return self._weights
