"""Whether two loaded LLMs embed alike, although their dtypes may differ.

Four checks, each for what the others do not see. Checksums of every weight see a flipped bit, which
may hardly move a text, but only between dtypes of which one can be rounded to the other. Hashes of
the tokenizer and the config's settings see what changes few texts, or all of them by a little. The
embedding of a fixed text, the probe, sees the rest: code, settings of the process, missing layers.

Cosines of texts to the same model in float32, on the almanac, on tests/reference and on
SmolLM2-135M: 0.998 and more in bfloat16, 0.99999 in float16. Other base models, or two layers
fewer: below 0.9. In int8 0.998 and more on the small models, of which the almanac's loses 0.1 % of
nDCG@10, but down to 0.993 on SmolLM2-135M, further than neighbouring documents are from each other.
So int8 queries search what bfloat16 embedded, and the reverse, where the probe says that this model
is one that 8 bits hardly change, and are refused where it says otherwise.
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
_FLOAT32 = 0.9999  # of float32 twice, whose sums differ by processor in the sixth digit
_HARDLY_CHANGED = 0.998  # the least cosine of one model with and without layers in 8 bits


@dataclass(frozen=True)
class LLMIdentity:
    """What a collection remembers of the frozen LLM that wrote it.

    Attributes:
        dtypes: Of its weights, such as "bfloat16" or "bfloat16 and int8".
        checksums: Of its weights, by the dtypes in which they were read; see `weight_checksums`.
        tokenizer: Hashes of it, by what was hashed; see `tokenizer_hashes`.
        settings: Of its config, by name; see `forward_settings`.
        probe: The embedding of a fixed text without an instruction, of length 1.
    """

    dtypes: str
    checksums: dict[str, str]
    tokenizer: dict[str, str]
    settings: dict[str, str]
    probe: list[float]

    @classmethod
    def of(cls, model: LLM2VecGen) -> LLMIdentity:
        """Return the identity of a model's LLM, as its response tokens and heads see it."""
        # here, as it imports torch: a model has done so already, a program without one need not
        from llm2vec_gen_rag.backbone.digest import weight_checksums, weight_dtypes
        from llm2vec_gen_rag.backbone.settings import forward_settings
        from llm2vec_gen_rag.checkpoint.tokenizer_hashes import tokenizer_hashes

        return cls(
            dtypes=weight_dtypes(model.backbone),
            checksums=weight_checksums(model.backbone),
            tokenizer=tokenizer_hashes(model.text_tokenizer),
            settings=forward_settings(model.backbone),
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
                checksums=_strings(record["checksums"]),
                tokenizer=_strings(record["tokenizer"]),
                settings=_strings(record["settings"]),
                probe=[float(value) for value in record["probe"]],
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the record of the LLM lacks a part ({error!r})") from error

    def difference(self, other: LLMIdentity) -> str | None:
        """Return why ``other`` cannot search what this one embedded; None if it can."""
        if _differing(self.checksums, other.checksums):
            return "its base model had other weights than yours"
        if names := _differing(self.tokenizer, other.tokenizer):
            return f"its tokenizer read texts otherwise than yours ({names[0]})"
        if names := _differing(self.settings, other.settings):
            mine, theirs = self.settings[names[0]], other.settings[names[0]]
            return (
                f"the config of its base model had {names[0]} = {mine:.80}, and yours has "
                f"{theirs:.80}"
            )
        return self._difference_of_probes(other)

    def _difference_of_probes(self, other: LLMIdentity) -> str | None:
        """Return why the probe is too far from the other's; None if it is not."""
        cosine = self._cosine(other)
        both_float32 = self.dtypes == other.dtypes == "float32"
        if not cosine >= (_FLOAT32 if both_float32 else _SAME_MODEL):
            found = "its base model, its code or the precision that it computes in is another"
        elif self._is_packed != other._is_packed and not cosine >= _HARDLY_CHANGED:
            found = (
                f"its LLM computed in {self.dtypes} and yours in {other.dtypes}, and 8 bits change "
                f"this model too much (expected: {_HARDLY_CHANGED} at least); pass the same dtype"
            )
        else:
            return None
        return f"the embedding of a fixed text has the cosine {cosine:.4f} to yours: {found}"

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


def _strings(record: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in record.items()}


def _differing(mine: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return the names that both have, with different values."""
    return sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])
