"""A teacher without a network: TF-IDF and a truncated SVD.

scikit-learn fits it; NumPy alone loads it and embeds with it, so that it can stand beside the model
in a demonstration.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from llm2vec_gen_rag.errors import require_extra

Vectors = npt.NDArray[np.float32]

WORDS = re.compile(r"\w+")
WEIGHTS_FILE = "teacher.safetensors"
VOCABULARY_FILE = "teacher.json"


@dataclass(frozen=True)
class TfidfSvdTeacher:
    """TF-IDF over words and word pairs, projected by a truncated SVD, rows of length 1.

    Attributes:
        vocabulary: the row of each term.
        idf: (terms,) smoothed inverse document frequencies.
        components: (terms, dimension) right singular vectors.
    """

    vocabulary: dict[str, int]
    idf: Vectors
    components: Vectors

    @property
    def name(self) -> str:
        """What is recorded beside the vectors."""
        return f"tfidf-svd-{self.dimension}"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.components.shape[1])

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        dimension: int = 256,
        max_terms: int = 8192,
        seed: int = 42,
    ) -> TfidfSvdTeacher:
        """Fit on texts like those to be embedded.

        Args:
            texts: answers and documents, unlabeled.
            dimension: length of a vector.
            max_terms: the most frequent terms that are kept.
            seed: of the randomized SVD.

        Raises:
            MissingExtraError: if scikit-learn is not installed.
            ValueError: if the texts hold too few distinct terms or too few texts for `dimension`.
        """
        require_extra("train", "sklearn")
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        tfidf = TfidfVectorizer(analyzer=terms, max_features=max_terms, sublinear_tf=True)
        if not any(terms(text) for text in texts):
            raise ValueError(f"none of the {len(texts)} texts holds a word; nothing to fit on")
        weights = tfidf.fit_transform(texts)
        if min(weights.shape) <= dimension:
            raise ValueError(
                f"{weights.shape[0]} texts with {weights.shape[1]} distinct terms cannot give "
                f"{dimension} dimensions; pass more texts or a dimension below {min(weights.shape)}"
            )
        svd = TruncatedSVD(dimension, random_state=seed).fit(weights)
        vocabulary = {term: int(row) for term, row in sorted(tfidf.vocabulary_.items())}
        return cls(vocabulary, _stored(tfidf.idf_), _stored(svd.components_.T))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of length 1, (texts, dimension).

        A text without a single known term has no direction: its vector is zero.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._embed_one(text)
        return vectors

    def _embed_one(self, text: str) -> Vectors:
        """Return the vector of one text, (dimension,)."""
        counts = Counter(self.vocabulary[term] for term in terms(text) if term in self.vocabulary)
        rows = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        frequencies = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
        vector = ((1 + np.log(frequencies)) * self.idf[rows]) @ self.components[rows]
        length = math.sqrt(float(vector @ vector))
        return np.asarray(vector / length if length else vector, dtype=np.float32)

    def save(self, folder: str | Path) -> None:
        """Write the teacher to a folder as safetensors and JSON."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            "idf": self.idf.astype(np.float16),
            "components": self.components.astype(np.float16),
        }
        save_file(tensors, folder / WEIGHTS_FILE)
        in_order = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        text = json.dumps({"kind": "tfidf-svd", "terms": in_order}, ensure_ascii=False)
        (folder / VOCABULARY_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> TfidfSvdTeacher:
        """Read the teacher that `save` wrote.

        Raises:
            ValueError: if a file is missing or unreadable, or the two disagree.
        """
        folder = Path(folder)
        try:
            description = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))
            with safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
                idf, components = file.get_tensor("idf"), file.get_tensor("components")
            vocabulary = {term: row for row, term in enumerate(description["terms"])}
        except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
            raise ValueError(
                f"{folder} holds no readable teacher ({error}); expected {WEIGHTS_FILE} and "
                f"{VOCABULARY_FILE} as TfidfSvdTeacher.save writes them"
            ) from error
        if not len(vocabulary) == len(idf) == len(components):
            raise ValueError(
                f"{folder} holds {len(vocabulary)} terms, {len(idf)} frequencies and "
                f"{len(components)} components; expected three equal counts. Save it again."
            )
        return cls(vocabulary, idf.astype(np.float32), components.astype(np.float32))


def terms(text: str) -> list[str]:
    """Return the lower-case words of a text and its pairs of neighbouring words."""
    words = WORDS.findall(text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def _stored(values: npt.NDArray[Any]) -> Vectors:
    """Round to what half-precision storage keeps, so that a teacher equals its saved copy."""
    return np.ascontiguousarray(values.astype(np.float16).astype(np.float32))
