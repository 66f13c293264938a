"""Embed in one call what a cache does not hold, and remember which texts were cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm2vec_gen_rag.arguments import as_texts
from llm2vec_gen_rag.vectors.cache import VectorCache

if TYPE_CHECKING:
    from llm2vec_gen_rag.vectors.encoded_texts import EncodedTexts

Encode = Callable[[list[str]], "EncodedTexts"]


@dataclass(frozen=True)
class Truncation:
    """The texts of one call that are longer than the model reads.

    Attributes:
        rows: where they are among the texts of the call.
        tokens: how many each has, those of the instruction counted.
        room: how many of them the model reads.
    """

    rows: list[int]
    tokens: list[int]
    room: int


@dataclass(frozen=True)
class Embedded:
    """What one call of a framework gets.

    Attributes:
        vectors: one a text, in the order of the texts.
        truncation: what was cut of the texts that were embedded now; None if nothing was.
    """

    vectors: list[list[float]]
    truncation: Truncation | None


def embed_all(texts: Sequence[str], encode: Encode) -> Embedded:
    """Return the vectors of texts, computed in one call of the model."""
    encoded = encode(as_texts(texts))
    return Embedded(encoded.vectors.tolist(), _truncation(encoded, range(len(texts))))


def embed_new(texts: Sequence[str], encode: Encode, cache: VectorCache, namespace: str) -> Embedded:
    """Return the vectors of texts, and embed only those that the cache does not hold.

    Args:
        texts: any texts, one several times too.
        encode: embeds those that are new, each once, in one call.
        cache: gets what was embedded.
        namespace: of all that decides a vector, the text aside.

    Returns:
        The vectors.

    Raises:
        ValueError: if a text is no string.
    """
    keys = [_key(namespace, text) for text in as_texts(texts)]
    vectors = cache.get(list(dict.fromkeys(keys)))
    rows = {key: row for row, key in enumerate(keys) if key not in vectors}
    truncation = None
    if rows:
        encoded = encode([texts[row] for row in rows.values()])
        new = dict(zip(rows, encoded.vectors, strict=True))
        cache.put(new)
        vectors |= new
        truncation = _truncation(encoded, list(rows.values()))
    return Embedded([vectors[key].tolist() for key in keys], truncation)


def _key(namespace: str, text: str) -> bytes:
    # surrogates are no UTF-8, and two texts that differ in them have two vectors
    read = f"{namespace} {text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(read, digest_size=32).digest()


def _truncation(encoded: EncodedTexts, rows: Sequence[int]) -> Truncation | None:
    """Return what was cut, by the rows that the caller knows the texts by."""
    cut = encoded.truncated
    if not cut:
        return None
    tokens = encoded.tokens[cut].tolist()
    return Truncation([rows[place] for place in cut], tokens, encoded.room)
