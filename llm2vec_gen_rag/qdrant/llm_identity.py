"""Whether two loaded LLMs embed alike, although their dtypes may differ.

Two checks, each for what the other does not see. Checksums of every weight see a flipped bit, which
may hardly move a text, but only between dtypes of which one can be rounded to the other. The
embedding of a fixed text, the probe, sees the rest: settings, missing layers, another tokenizer.

Cosines of the probe to the same model in float32, on the almanac, on tests/reference and on
SmolLM2-135M: 0.9996 and more in bfloat16, 0.99999 in float16. Other base models, or two layers
fewer: below 0.9. In int8 0.999 on small or random weights, but down to 0.989 on SmolLM2-135M, which
is further than neighbouring documents are from each other: int8 searches what int8 embedded only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

PROBE = (
    "Which model wrote these vectors? Ask it in 7 languages: Warum ist der Himmel blau, ¿dónde "
    "está la biblioteca, 東京の天気は, где мой ключ, kahve nerede, 2 + 2 = ?"
)

_SAME_MODEL = 0.995  # the least cosine of one model in two floating-point dtypes, on any processor
_SAME_MODEL_PACKED = 0.97  # in 8 bits or fewer, with other dtypes beside them


@dataclass(frozen=True)
class LLMIdentity:
    """What a collection remembers of the frozen LLM that wrote it.

    Attributes:
        dtypes: Of its weights, such as "bfloat16" or "bfloat16 and int8".
        checksums: Of its weights, by the dtypes in which they were read; see `weight_checksums`.
        probe: The embedding of a fixed text without an instruction, of length 1.
    """

    dtypes: str
    checksums: dict[str, str]
    probe: list[float]

    @classmethod
    def of(cls, model: LLM2VecGen) -> LLMIdentity:
        """Return the identity of a model's LLM, as its response tokens and heads see it."""
        # here, as it imports torch: a model has done so already, a program without one need not
        from llm2vec_gen_rag.backbone.digest import weight_checksums, weight_dtypes

        return cls(
            dtypes=weight_dtypes(model.backbone),
            checksums=weight_checksums(model.backbone),
            probe=[round(float(value), 5) for value in model.encode(PROBE)],
        )

    @classmethod
    def read(cls, record: Any) -> LLMIdentity:
        """Return the identity that a collection holds.

        Args:
            record: What `dataclasses.asdict` made of it.

        Returns:
            The identity.

        Raises:
            ValueError: It is something else.
        """
        try:
            return cls(
                dtypes=str(record["dtypes"]),
                checksums={str(k): str(v) for k, v in record["checksums"].items()},
                probe=[float(value) for value in record["probe"]],
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the record of the LLM lacks a part ({error!r})") from error

    def difference(self, other: LLMIdentity) -> str | None:
        """Return why ``other`` cannot search what this one embedded; None if it can."""
        if self._is_packed != other._is_packed:
            return (
                f"its LLM computed in {self.dtypes}, and yours in {other.dtypes}: vectors of 8-bit "
                "layers rank documents otherwise, so one collection has one kind; pass the same "
                "dtype"
            )
        for dtypes in self.checksums.keys() & other.checksums.keys():
            if self.checksums[dtypes] != other.checksums[dtypes]:
                return "its base model had other weights than yours"
        cosine = self._cosine(other)
        least = _SAME_MODEL_PACKED if self._is_packed else _SAME_MODEL
        if not cosine >= least:
            return (
                f"a fixed text has the cosine {cosine:.4f} to what its model made of it, and "
                f"expected is {least} at least: the base model, its config or its tokenizer is "
                "another"
            )
        return None

    @property
    def _is_packed(self) -> bool:
        """Return whether layers are in 8 bits or fewer."""
        return "int" in self.dtypes

    def _cosine(self, other: LLMIdentity) -> float:
        mine, theirs = np.array(self.probe), np.array(other.probe)
        lengths = np.linalg.norm(mine) * np.linalg.norm(theirs)
        if mine.shape != theirs.shape or not np.isfinite(lengths) or lengths == 0:
            return 0.0
        return float(mine @ theirs / lengths)
