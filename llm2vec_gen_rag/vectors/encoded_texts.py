"""Vectors with the lengths of their texts, and what is said of texts too long to be read whole."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.encoder import Vectors
from llm2vec_gen_rag.text_tokenizer import TokenizedTexts

logger = logging.getLogger(__name__)

_MOST_NAMED = 5  # rows in one line of the log


@dataclass(frozen=True)
class EncodedTexts:
    """The embeddings of texts, and how long the texts were.

    Attributes:
        vectors: float32 (texts, dimension), in the order of the texts.
        tokens: int64 (texts,), the tokens of instruction and text before any were cut.
        room: how many of them the LLM reads; the rest of a longer text is not in its vector.
    """

    vectors: Vectors
    tokens: npt.NDArray[np.int64]
    room: int

    @property
    def truncated(self) -> list[int]:
        """The rows of the texts that were cut."""
        return rows_beyond(self.tokens, self.room)


def rows_beyond(tokens: npt.NDArray[np.int64], room: int) -> list[int]:
    """Return the rows of texts with more tokens than there is room for."""
    rows: list[int] = np.flatnonzero(tokens > room).tolist()
    return rows


def log_truncation(texts: TokenizedTexts, room: int) -> None:
    """Say once for a list of texts which of them are cut, if any is."""
    rows = rows_beyond(texts.tokens, room)
    if rows:
        named = ", ".join(map(str, rows[:_MOST_NAMED])) + ", ..." * (len(rows) > _MOST_NAMED)
        logger.warning(
            "%d of %d texts are longer than the %d tokens that fit before the response tokens, and "
            "are cut at their end: texts[%s]. Cut them into passages, or pass a larger max_length.",
            *(len(rows), len(texts.rows), room, named),
        )
