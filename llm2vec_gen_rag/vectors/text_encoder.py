"""What `LLM2VecGen` embeds with: one vector a text, on the side of queries or of documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm2vec_gen_rag import encoder
from llm2vec_gen_rag.arguments import as_texts, require_positive, require_string, text_room
from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.loading import LoadedModel
from llm2vec_gen_rag.text_tokenizer import TokenizedTexts
from llm2vec_gen_rag.vectors.encoded_texts import EncodedTexts, log_truncation
from llm2vec_gen_rag.vectors.similarity import cosines

Texts = str | Sequence[str]


class TextEncoder(LoadedModel):
    """A loaded model that embeds; `LLM2VecGen` adds what writes."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self.alignment.out_features

    def encode(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each text: of the answer that the LLM would give to it.

        Args:
            texts: a string or a list of strings. They are read literally: nothing in them is markup
                or a special token. Only lone surrogates are changed, to U+FFFD.
            instruction: precedes each text, with no space added.
            max_length: tokens of instruction, text and response tokens together; a longer text is
                cut at its end, and at what `positions` leaves room for. The log says which are
                cut; so does `encode_with_lengths`.
            normalize: whether to scale each vector to length 1.
            batch_size: texts in one forward; None plans the batches by their tokens. It changes
                speed and memory, not the vectors.
            show_progress: whether to show a progress bar on standard error.

        Returns:
            float32: (dimension,) for a string, (texts, dimension) for a list, in its order.

        Raises:
            ValueError: if an argument is not as described, or `max_length` leaves no room for text.
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        encoded = self.encode_with_lengths(
            texts,
            instruction=instruction,
            max_length=max_length,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        return encoded.vectors[0] if isinstance(texts, str) else encoded.vectors

    def encode_with_lengths(
        self,
        texts: Texts,
        *,
        instruction: str = "",
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> EncodedTexts:
        """Do what `encode` does, and return how long the texts were, too.

        Args:
            texts: see `encode`.
            instruction: see `encode`.
            max_length: see `encode`.
            normalize: see `encode`.
            batch_size: see `encode`.
            show_progress: see `encode`.

        Returns:
            The vectors, (1, dimension) for a string, and which texts were cut.

        Raises:
            ValueError: see `encode`.
            NonFiniteError: see `encode`.
        """
        if batch_size is not None:
            require_positive("batch_size", batch_size)
        tokenized, room = self._tokenized(texts, instruction, max_length)
        vectors = encoder.embed(
            self,
            tokenized,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        return EncodedTexts(vectors, tokenized.tokens, room)

    def encode_query(
        self,
        texts: Texts,
        task: str = "retrieval",
        *,
        instruction: str | None = None,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each query, preceded by an instruction.

        Args:
            texts: see `encode`.
            task: a name that `prompts.for_query` knows, if there is no `instruction`.
            instruction: precedes each query in place of the task's; "" for none.
            max_length: see `encode`.
            normalize: see `encode`.
            batch_size: see `encode`.
            show_progress: see `encode`.

        Returns:
            See `encode`.

        Raises:
            ValueError: if the task is unknown; see also `encode`.
        """
        return self.encode(
            texts,
            instruction=self.prompts.for_query(task) if instruction is None else instruction,
            max_length=max_length,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )

    def encode_document(
        self,
        texts: Texts,
        *,
        instruction: str | None = None,
        max_length: int = 512,
        normalize: bool = True,
        batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Vectors:
        """Return the embedding of each document, preceded by an instruction.

        See `encode` for arguments, shapes and errors. Without an `instruction`, it is that of
        documents, `prompts.document`; "" is none.
        """
        return self.encode(
            texts,
            instruction=self.prompts.document if instruction is None else instruction,
            max_length=max_length,
            normalize=normalize,
            batch_size=batch_size,
            show_progress=show_progress,
        )

    def similarity(self, queries: Texts | Vectors, documents: Texts | Vectors) -> Vectors:
        """Return the cosine similarity of each query with each document.

        Args:
            queries: texts, for `encode_query`, or their vectors: (n, dimension) of any lengths, or
                (dimension,) of one.
            documents: texts, for `encode_document`, or their vectors, likewise.

        Returns:
            float32 (n, m), from -1 to 1; a string or a single vector is a list of one.

        Raises:
            ValueError: if the vectors' dimensions differ; see also `encode`.
            NonFiniteError: see `encode`.
        """
        if not isinstance(queries, np.ndarray):
            queries = self.encode_query(queries)
        if not isinstance(documents, np.ndarray):
            documents = self.encode_document(documents)
        return cosines(np.atleast_2d(queries), np.atleast_2d(documents))

    def _tokenized(
        self, texts: Texts, instruction: str, max_length: int
    ) -> tuple[TokenizedTexts, int]:
        """Return the ids of each text after the instruction, cut to leave room, and that room."""
        require_string("instruction", instruction)
        room = text_room(max_length, len(self.response_tokens), self.positions)
        tokenized = self.text_tokenizer.tokenize(as_texts(texts), instruction, max_tokens=room)
        log_truncation(tokenized, room)
        return tokenized, room
