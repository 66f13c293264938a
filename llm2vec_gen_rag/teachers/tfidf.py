"""A teacher without a network: TF-IDF, reduced to a few hundred dimensions in one of two ways.

A truncated SVD keeps the directions in which texts differ most, their topics, and loses names that
occur in few texts. A random projection keeps every cosine to within some 1/sqrt(dimension)
(Johnson and Lindenstrauss, 1984), so that two texts with different names stay apart.

scikit-learn fits it; NumPy alone loads it and embeds with it, so that the demonstration needs
neither torch nor scikit-learn for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.files import replacing, write_text
from llm2vec_gen_rag.teachers.protocol import Vectors

WORDS = re.compile(r"\w+")
WEIGHTS_FILE = "teacher.safetensors"
VOCABULARY_FILE = "teacher.json"


@dataclass(frozen=True)
class TfidfTeacher:
    """TF-IDF over words, projected; vectors of length 1.

    Attributes:
        kind: "svd" or "projection", how the components were found.
        vocabulary: the row of each word.
        idf: (words,) smoothed inverse document frequencies.
        components: (words, dimension) right singular vectors, or independent normal numbers.
    """

    kind: str
    vocabulary: dict[str, int]
    idf: Vectors
    components: Vectors

    @property
    def name(self) -> str:
        """What is recorded beside the vectors."""
        return f"tfidf-{self.kind}-{self.dimension}"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.components.shape[1])

    @property
    def fingerprint(self) -> str:
        """A hash of the words and what was fitted to them."""
        digest = hashlib.sha256(json.dumps(self._words()).encode())
        digest.update(self.idf.tobytes() + self.components.tobytes())
        return digest.hexdigest()

    @classmethod
    def fit(
        cls,
        kind: str,
        texts: Sequence[str],
        *,
        dimension: int = 256,
        max_words: int = 8192,
        seed: int = 42,
    ) -> TfidfTeacher:
        """Fit on texts like those to be embedded.

        Args:
            kind: "svd" or "projection".
            texts: answers and documents, unlabeled.
            dimension: length of a vector.
            max_words: how many of the most frequent words to keep.
            seed: of the randomized SVD, or of the projection.

        Returns:
            The teacher, rounded as it would be after saving and loading.

        Raises:
            MissingExtraError: if scikit-learn is not installed.
            ValueError: if the kind is unknown, or the texts hold no word, or too few distinct words
                or too few texts for an SVD of `dimension`.
        """
        require_extra("train", "sklearn")
        from sklearn.feature_extraction.text import TfidfVectorizer

        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(sorted(KINDS))}")
        tfidf = TfidfVectorizer(analyzer=words_of, max_features=max_words, sublinear_tf=True)
        if not any(words_of(text) for text in texts):
            raise ValueError(f"none of the {len(texts)} texts holds a word; nothing to fit on")
        components = KINDS[kind](tfidf.fit_transform(texts), dimension, seed)
        vocabulary = {word: int(row) for word, row in sorted(tfidf.vocabulary_.items())}
        return cls(kind, vocabulary, _stored(tfidf.idf_), _stored(components))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of length 1, (texts, dimension).

        The vector of a text without a known word is zero.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._embed_one(text)
        return vectors

    def _embed_one(self, text: str) -> Vectors:
        """Return the vector of one text, (dimension,)."""
        counts = Counter(
            self.vocabulary[word] for word in words_of(text) if word in self.vocabulary
        )
        rows = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        frequencies = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
        vector = ((1 + np.log(frequencies)) * self.idf[rows]) @ self.components[rows]
        length = math.sqrt(float(vector @ vector))
        return np.asarray(vector / length if length else vector, dtype=np.float32)

    def save(self, folder: str | Path) -> None:
        """Write the teacher to a folder as safetensors and JSON."""
        folder = Path(folder)
        tensors = {
            "idf": self.idf.astype(np.float16),
            "components": self.components.astype(np.float16),
        }
        with replacing(folder / WEIGHTS_FILE) as partial:
            save_file(tensors, partial)
        text = json.dumps({"kind": self.kind, "words": self._words()}, ensure_ascii=False)
        write_text(folder / VOCABULARY_FILE, text)

    def _words(self) -> list[str]:
        """Return the words in the order of their rows."""
        return sorted(self.vocabulary, key=self.vocabulary.__getitem__)

    @classmethod
    def load(cls, folder: str | Path) -> TfidfTeacher:
        """Read the teacher that `save` wrote.

        Args:
            folder: where it is.

        Returns:
            The teacher.

        Raises:
            ValueError: if a file is missing or unreadable, or the two disagree.
        """
        folder = Path(folder)
        try:
            description = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))
            with safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
                idf, components = file.get_tensor("idf"), file.get_tensor("components")
            kind = str(description["kind"])
            vocabulary = {word: row for row, word in enumerate(description["words"])}
        except (OSError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
            raise ValueError(
                f"{folder} holds no readable teacher ({error}); expected {WEIGHTS_FILE} and "
                f"{VOCABULARY_FILE} as TfidfTeacher.save writes them. Fit and save it again."
            ) from error
        if not len(vocabulary) == len(idf) == len(components):
            raise ValueError(
                f"{folder} holds {len(vocabulary)} words, {len(idf)} frequencies and "
                f"{len(components)} components; expected three equal counts. Save it again."
            )
        return cls(kind, vocabulary, idf.astype(np.float32), components.astype(np.float32))


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return WORDS.findall(text.lower())


def _singular_vectors(weights: Any, dimension: int, seed: int) -> npt.NDArray[Any]:
    """Return (words, dimension), the right singular vectors of (texts, words)."""
    from sklearn.decomposition import TruncatedSVD

    if min(weights.shape) <= dimension:
        raise ValueError(
            f"{weights.shape[0]} texts with {weights.shape[1]} distinct words cannot give "
            f"{dimension} dimensions; pass more texts or a dimension below {min(weights.shape)}"
        )
    components = TruncatedSVD(dimension, random_state=seed).fit(weights).components_
    return np.asarray(components.T)


def _random_projection(weights: Any, dimension: int, seed: int) -> npt.NDArray[Any]:
    """Return (words, dimension) normal numbers of variance 1 / dimension."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((weights.shape[1], dimension)) / math.sqrt(dimension)


KINDS = {"svd": _singular_vectors, "projection": _random_projection}


def _stored(values: npt.NDArray[Any]) -> Vectors:
    """Round to what half-precision storage keeps, so that a teacher equals its saved copy."""
    return np.ascontiguousarray(values.astype(np.float16).astype(np.float32))
