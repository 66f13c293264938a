"""A query that a gate reads and a retriever searches by is embedded once.

A gate has to be asked before a search, which embeds the query inside the framework. So in a block
of `known_query` the adapters take the vector that the gate has read; and a gate that is asked after
a search recognises the vector that an adapter has given. Anything else is embedded as without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from llm2vec_gen_rag.backbone.forks import ForkSafeLock

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

MAX_LENGTH = 512  # the default of `LLM2VecGen.encode`, with which a gate embeds
REMEMBERED = 256  # queries between a search and the gate after it, of all threads


@dataclass(frozen=True, eq=False)
class KnownQuery:
    """A query, and the vector of length 1 that a model gives to it at `MAX_LENGTH`.

    Attributes:
        model: what embedded it.
        instruction: what preceded it.
        text: the query.
        vector: (dimension,).
    """

    model: LLM2VecGen
    instruction: str
    text: str
    vector: list[float]


_known: ContextVar[KnownQuery | None] = ContextVar("known_query", default=None)
_given: WeakKeyDictionary[LLM2VecGen, deque[int]] = WeakKeyDictionary()
_given_lock = ForkSafeLock()


@contextmanager
def known_query(known: KnownQuery) -> Iterator[None]:
    """Let adapters take the vector of this query in the block, and in what it starts."""
    before = _known.get()
    _known.set(known)
    try:
        yield
    finally:
        _known.set(before)  # no token: a generator can be closed in another context


def known_vector(model: LLM2VecGen, instruction: str, text: str) -> list[float] | None:
    """Return the vector of a query, if the block that this runs in has it."""
    known = _known.get()
    if known is None or known.model is not model:
        return None
    is_same = (known.instruction, known.text) == (instruction, text)
    return list(known.vector) if is_same else None


def remember_given(model: LLM2VecGen, instruction: str, text: str, vector: Sequence[float]) -> None:
    """Note that an adapter gave this vector for a query."""
    with _given_lock:
        given = _given.setdefault(model, deque(maxlen=REMEMBERED))
        given.append(hash((instruction, text, *vector)))


def was_given(model: LLM2VecGen, instruction: str, text: str, vector: Sequence[float]) -> bool:
    """Return whether an adapter of the model gave this vector for this query lately."""
    with _given_lock:
        return hash((instruction, text, *vector)) in _given.get(model, ())
