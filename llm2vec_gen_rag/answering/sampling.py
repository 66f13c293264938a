"""Which token the LLM writes next, when it is not simply the most likely one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor

_SEEDS = 2**64  # that torch takes


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_p: draw among the most likely tokens that have this probability together (nucleus
            sampling, arXiv 1904.09751).
        seed: of the random numbers; None draws other ones each time.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number, and numbers outside their ranges."""
        if not (_is_a(Real, self.temperature) and 0 <= self.temperature < math.inf):
            raise ValueError(
                f"temperature is {self.temperature!r}; expected a number of at least 0, which "
                "decodes greedily"
            )
        if not (_is_a(Real, self.top_p) and 0 < self.top_p <= 1):
            raise ValueError(f"top_p is {self.top_p!r}; expected a number above 0 and up to 1")
        if self.seed is not None and not (_is_a(Integral, self.seed) and 0 <= self.seed < _SEEDS):
            raise ValueError(
                f"seed is {self.seed!r}; expected an integer of at least 0 and below 2^64, or None"
            )


def _is_a(kind: type, value: object) -> bool:
    """Return whether a value from outside is a number of a kind, whatever it is declared to be."""
    return isinstance(value, kind)


GREEDY = Sampling()


class TokenChoice:
    """Chooses the tokens of one answer."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        """Seed the random numbers of an answer.

        Args:
            sampling: how to draw.
            device: of the logits.
        """
        self._sampling = sampling
        self._generator = torch.Generator(device)
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(int(sampling.seed))

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the next token.

        Args:
            logits: (1, vocabulary).

        Returns:
            Its id, int64 (1,).
        """
        if self._sampling.temperature == 0:
            return logits.argmax(dim=-1)
        scaled = logits.float() / self._sampling.temperature
        likely, ids = scaled.softmax(dim=-1).sort(dim=-1, descending=True)
        before = likely.cumsum(dim=-1) - likely
        nucleus = likely.masked_fill(before >= self._sampling.top_p, 0)
        drawn = torch.multinomial(nucleus, 1, generator=self._generator)
        return ids.gather(-1, drawn)[:, 0]
