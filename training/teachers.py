"""Unsupervised embedding teachers, run once over the answers and stored on disk.

Training reads the stored vectors and never holds a teacher in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.batching import CPU_TOKEN_BUDGET, plan_batches
from llm2vec_gen_rag.tokenization import TextTokenizer, TokenIds
from llm2vec_gen_rag.training.tfidf import TfidfTeacher

__all__ = [
    "BackboneMeanTeacher",
    "Teacher",
    "TfidfTeacher",
    "read_teacher_vectors",
    "write_teacher_vectors",
]

Vectors = npt.NDArray[np.float32]

MAX_LENGTH = 512


class Teacher(Protocol):
    """Anything that turns texts into vectors the response tokens are to be aligned with."""

    @property
    def name(self) -> str:
        """What is recorded beside the vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension)."""


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
        self._tokenizer = tokenizer

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors, (texts, dimension); texts are cut at 512 tokens.

        A text without a single token has no states to average: its vector is zero.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        ids = TextTokenizer(self._tokenizer).token_ids(texts, max_tokens=MAX_LENGTH)
        read = [row for row in range(len(ids)) if len(ids[row])]
        plan = plan_batches([len(ids[row]) for row in read], token_budget=CPU_TOKEN_BUDGET)
        for batch in plan:
            rows = [read[place] for place in batch]
            vectors[rows] = self._mean_states([ids[row] for row in rows])
        return vectors

    @torch.inference_mode()
    def _mean_states(self, ids: Sequence[TokenIds]) -> Vectors:
        """Return the mean state of each row; padding stands on the right, where none can see it."""
        device = self._backbone.device
        padded = pad_sequence([torch.from_numpy(row) for row in ids], batch_first=True).to(device)
        lengths = torch.tensor([len(row) for row in ids], device=device)[:, None]
        states = self._backbone.base_model(padded, use_cache=False).last_hidden_state.float()
        real = torch.arange(padded.shape[1], device=device) < lengths
        sums = (states * real[..., None]).sum(dim=1)
        return np.asarray((sums / lengths).cpu().numpy(), dtype=np.float32)


def write_teacher_vectors(teacher: Teacher, texts: Sequence[str], path: str | Path) -> None:
    """Embed the texts and store the vectors as float16 safetensors, with what they are of.

    The file appears whole or not at all.

    Raises:
        ValueError: if there are no texts, or the teacher returns another shape than
            (texts, teacher.dimension), or values that float16 cannot hold.
    """
    if not texts:
        raise ValueError("got no texts to embed; expected at least one answer")
    vectors = np.asarray(teacher.embed(texts))
    expected = (len(texts), teacher.dimension)
    if vectors.shape != expected:
        raise ValueError(
            f"teacher {teacher.name!r} returned shape {vectors.shape} for {len(texts)} texts; "
            f"expected {expected}"
        )
    if not (np.abs(vectors) <= np.finfo(np.float16).max).all():
        row = int(np.argmax(~(np.abs(vectors) <= np.finfo(np.float16).max).all(axis=1)))
        raise ValueError(
            f"teacher {teacher.name!r} returned a value that is not finite or beyond float16 for "
            f"text {row}: {texts[row][:80]!r}"
        )
    metadata = {"teacher": teacher.name, "texts_sha256": _digest(texts)}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    save_file({"vectors": vectors.astype(np.float16)}, unfinished, metadata=metadata)
    os.replace(unfinished, path)


def read_teacher_vectors(path: str | Path, texts: Sequence[str]) -> Vectors:
    """Return the stored vectors of exactly these texts, float32 (texts, dimension).

    Args:
        path: a file `write_teacher_vectors` wrote.
        texts: the answers the vectors are to be paired with, in their order.

    Raises:
        ValueError: if the file is missing or unreadable, or is of other texts, of a different
            number of texts or of the same texts in another order.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            vectors, metadata = file.get_tensor("vectors"), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"cannot read teacher vectors from {path} ({error}); write them again with "
            "write_teacher_vectors"
        ) from error
    if len(vectors) != len(texts):
        raise ValueError(
            f"{path} holds {len(vectors)} vectors; expected {len(texts)}, one per answer. Write "
            "them again for these answers."
        )
    if metadata.get("texts_sha256") != _digest(texts):
        raise ValueError(
            f"{path} holds the vectors of other texts, or of these in another order; write them "
            "again for these answers"
        )
    return np.asarray(vectors, dtype=np.float32)


def _digest(texts: Sequence[str]) -> str:
    """Return a hash of the texts and their order."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
