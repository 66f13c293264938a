"""What a teacher is: anything that embeds the answers from which response tokens learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Teacher(Protocol):
    """Anything that turns texts into the vectors of the alignment loss."""

    @property
    def name(self) -> str:
        """What is recorded beside the vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def fingerprint(self) -> str:
        """A hash of what the vectors depend on: if equal, a run may resume with stored ones."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); none depends on the other texts."""


def unit(vectors: Vectors) -> Vectors:
    """Scale vectors to length 1.

    Args:
        vectors: (texts, dimension); a zero vector stays zero.

    Returns:
        float32 (texts, dimension).
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
