"""The frozen LLM as its own teacher: its mean states, whitened.

An LLM's mean states share one long direction and differ most along a few others, which say more of
a text's form than of its topic. With m their mean and U S V' the SVD of (states - m) over n texts,
a text's vector is

    (state - m) V_k / S_k * sqrt(n),        then scaled to length 1,

of variance 1 along each of the first k directions (Su et al. 2021, arXiv 2103.15316). No label is
behind it, and of the LLM's own states these find best (docs/real_texts.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.files import replacing
from llm2vec_gen_rag.teachers.mean_states import mean_states
from llm2vec_gen_rag.teachers.protocol import Vectors, unit
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

WHITENING_FILE = "whitening.safetensors"
# a causal LLM's first token takes in what attention does not need: its state is a hundred times as
# long as the others, and says nothing of the text (Xiao et al. 2023, arXiv 2309.17453)
_SINKS = 1
# a direction along which the texts differ by less than this, relative to the first, is rounding
_RELATIVE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Whitening:
    """A linear map to variance 1.

    Attributes:
        mean: (hidden,), of the states it was fitted on.
        directions: (hidden, dimension), each scaled by the inverse of the deviation along it.
    """

    mean: Vectors
    directions: Vectors

    @classmethod
    def fit(cls, states: Vectors, dimension: int) -> Whitening:
        """Fit on states.

        Args:
            states: (texts, hidden).
            dimension: how many directions are kept.

        Returns:
            The map.

        Raises:
            ValueError: if the states vary along fewer directions.
        """
        exact = states.astype(np.float64)
        mean = exact.mean(axis=0)
        _, deviations, directions = np.linalg.svd(exact - mean, full_matrices=False)
        found = int((deviations > _RELATIVE_TOLERANCE * deviations[0]).sum())
        if found < dimension:
            raise ValueError(
                f"the states of {len(states)} texts vary along {found} directions; expected at "
                f"least the teacher_dimension, {dimension}. Pass more texts, or a smaller dimension"
            )
        scaled = directions[:dimension].T / deviations[:dimension] * np.sqrt(len(states))
        return cls(mean.astype(np.float32), np.ascontiguousarray(scaled, dtype=np.float32))

    def __call__(self, states: Vectors) -> Vectors:
        """Return whitened states of length 1, (texts, dimension); that of no state is zero."""
        found = (states - self.mean) @ self.directions
        found[~states.any(axis=1)] = 0
        return unit(found.astype(np.float32))

    def save(self, folder: str | Path) -> None:
        """Write the map to a folder."""
        with replacing(Path(folder) / WHITENING_FILE) as partial:
            save_file({"mean": self.mean, "directions": self.directions}, partial)

    @classmethod
    def load(cls, folder: str | Path) -> Whitening:
        """Read what `save` wrote.

        Args:
            folder: where it is.

        Returns:
            The map.

        Raises:
            ValueError: if it is missing or unreadable.
        """
        path = Path(folder) / WHITENING_FILE
        try:
            with safe_open(path, framework="numpy") as file:
                return cls(file.get_tensor("mean"), file.get_tensor("directions"))
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"{path} cannot be read ({error}); expected what Whitening.save writes. Remove it, "
                "and it is fitted again"
            ) from error


class WhitenedStatesTeacher:
    """The frozen LLM's mean states without the first token's, whitened; vectors of length 1.

    Args:
        backbone: the frozen LLM.
        tokenizer: its tokenizer.
        whitening: fitted on `states` of texts like those to be embedded.
        name: what is recorded beside the vectors.

    Attributes:
        name: what is recorded beside the vectors.
        dimension: length of a vector.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        whitening: Whitening,
        *,
        name: str,
    ) -> None:
        self.name = name
        self.dimension = int(whitening.directions.shape[1])
        self._backbone = backbone
        self._tokenizer = tokenizer
        self._whitening = whitening

    @property
    def fingerprint(self) -> str:
        """A hash of the LLM's weights and of the map."""
        digest = hashlib.sha256(weights_digest(self._backbone).encode())
        digest.update(self._whitening.mean.tobytes() + self._whitening.directions.tobytes())
        return digest.hexdigest()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of length 1, (texts, dimension); an empty text's is zero."""
        return self._whitening(unwhitened_states(self._backbone, self._tokenizer, texts))


def unwhitened_states(
    backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Vectors:
    """Return the mean states that are whitened, float32 (texts, hidden); see `mean_states`."""
    return mean_states(backbone, TextTokenizer(tokenizer), texts, skipped=_SINKS)
