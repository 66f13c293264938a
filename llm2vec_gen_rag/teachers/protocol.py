"""What a teacher is: something that embeds the answers that response tokens learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llm2vec_gen_rag.teachers.mean_states import Vectors


class Teacher(Protocol):
    """Anything that turns texts into vectors the response tokens are to be aligned with."""

    @property
    def name(self) -> str:
        """What is recorded beside the vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """A hash of what the vectors depend on: equal where a run may go on with stored ones."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension), each as if its text stood alone."""
