"""Unsupervised embedding teachers, run once over the answers and stored on disk.

Training reads the stored vectors and never holds a teacher in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.loading import weights_digest
from llm2vec_gen_rag.checkpoint.tokenizer_files import TextTokenizer
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.mean_states import Vectors, mean_states
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.teachers.stored_vectors import read_teacher_vectors, write_teacher_vectors
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher

__all__ = [
    "BackboneMeanTeacher",
    "LLM2VecTeacher",
    "SentenceTransformersTeacher",
    "Teacher",
    "TfidfTeacher",
    "read_teacher_vectors",
    "write_teacher_vectors",
]


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


class BackboneMeanTeacher:
    """The frozen LLM itself: the mean of its last hidden states over the tokens of a text.

    Attributes:
        name: what is recorded beside the vectors.
        dimension: length of a vector, the LLM's hidden size.
    """

    def __init__(
        self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str
    ) -> None:
        self.name = name
        self.dimension = int(backbone.config.hidden_size)
        self._backbone = backbone
        self._tokenizer = TextTokenizer(tokenizer)

    @property
    def fingerprint(self) -> str:
        """A hash of the LLM's weights."""
        return weights_digest(self._backbone)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); texts are cut at 512 tokens.

        A text without a single token has no states to average: its vector is zero.
        """
        return mean_states(self._backbone, self._tokenizer, texts)
