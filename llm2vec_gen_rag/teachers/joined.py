"""Two teachers as one: their vectors side by side."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from llm2vec_gen_rag.teachers.protocol import Teacher, Vectors, unit

BESIDE = " beside "


class JoinedTeacher:
    """Vectors of two teachers side by side, each of length 1 and the second scaled.

    Of weight w, the cosine of two texts is (first's cosine + w second's cosine) / (1 + w).

    Args:
        first: the teacher that counts by 1.
        second: the teacher beside it.
        weight: by how much the second's cosine counts.

    Attributes:
        name: both names.
        dimension: the sum of both.
    """

    def __init__(self, first: Teacher, second: Teacher, weight: float) -> None:
        self.name = f"{first.name}{BESIDE}{weight:g} x {second.name}"
        self.dimension = first.dimension + second.dimension
        self._parts = ((first, 1.0), (second, weight))

    @property
    def fingerprint(self) -> str:
        """A hash of both teachers' and of the weight."""
        parts = [f"{teacher.fingerprint} {weight}" for teacher, weight in self._parts]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of length 1, (texts, dimension)."""
        total = math.sqrt(sum(weight for _, weight in self._parts))
        parts = [
            unit(teacher.embed(texts)) * (math.sqrt(weight) / total)
            for teacher, weight in self._parts
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)
