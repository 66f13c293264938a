"""A linear score of embeddings that separates prompts to refuse, and its threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.safety.logistic_regression import cross_validated, log_odds
from llm2vec_gen_rag.safety.proportions import clopper_pearson

Vectors = npt.NDArray[np.float32]

HARMFUL_NEEDED = 20
ABOVE = 5  # benign prompts that are to score above a threshold, which one prompt then hardly moves


@dataclass(frozen=True)
class Calibration:
    """What a threshold was set with, and what to expect of it.

    Both shares are of scores by fits that did not see the prompt. Their intervals are Clopper and
    Pearson's, of 95 %, and hold for prompts like those given: of other kinds, more or fewer can be
    refused.

    Attributes:
        harmful: how many distinct harmful prompts there were.
        benign: how many distinct benign prompts.
        false_refusal_rate: the share of benign prompts that may be refused.
        false_refusals: the share that is.
        false_refusals_interval: its interval.
        blocked: the share of harmful prompts that is refused.
        blocked_interval: its interval.
        strength: lambda of the regression, chosen by cross-validation.
    """

    harmful: int
    benign: int
    false_refusal_rate: float
    false_refusals: float
    false_refusals_interval: tuple[float, float]
    blocked: float
    blocked_interval: tuple[float, float]
    strength: float

    def as_text(self) -> str:
        """Return what to expect of the threshold, in two lines."""
        (low, high), (fewest, most) = self.false_refusals_interval, self.blocked_interval
        return (
            f"refuses {self.false_refusals:.1%} of {self.benign} benign prompts "
            f"(95 % interval {low:.1%} to {high:.1%})\n"
            f"and {self.blocked:.1%} of {self.harmful} harmful ones "
            f"(95 % interval {fewest:.1%} to {most:.1%})"
        )


@dataclass(frozen=True, eq=False)
class LinearScore:
    """w x + b for an embedding x of length 1: the log-odds that its prompt is to be refused.

    Attributes:
        weights: w, (dimension,).
        intercept: b.
        threshold: what scores above it is refused.
        calibration: what that was set with.
    """

    weights: Vectors
    intercept: float
    threshold: float
    calibration: Calibration

    def of(self, vectors: Vectors) -> Vectors:
        """Return the score of each vector, whatever its length.

        Args:
            vectors: (n, dimension).

        Returns:
            float32, (n,).

        Raises:
            ValueError: if they have another shape, or one is zero or not finite.
        """
        weights = np.append(self.weights, self.intercept).astype(np.float64)
        return log_odds(_unit(vectors, len(self.weights)), weights).astype(np.float32)


def require_rate(rate: object) -> float:
    """Return a rate of false refusals; raise ValueError unless it is above 0 and below 0.5."""
    is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not is_number or not 0 < float(rate) < 0.5:  # type: ignore[arg-type]  # NaN is in no interval
        raise ValueError(
            f"false_refusal_rate is {rate!r:.80}; expected a number above 0 and below 0.5, the "
            "share of benign prompts that may be refused, such as 0.05"
        )
    return float(rate)  # type: ignore[arg-type]


def require_enough(harmful: int, benign: int, rate: float) -> None:
    """Raise ValueError if there are too few distinct prompts for a threshold at a rate."""
    needed = math.ceil(ABOVE / rate)
    if benign < needed:
        raise ValueError(
            f"got {benign} distinct benign prompts; expected at least {needed} for a false refusal "
            f"rate of {rate:g}, of which {ABOVE} may then score above the threshold. Add questions "
            "that your users ask and prompts that only look harmful, or allow a higher rate."
        )
    if harmful < HARMFUL_NEEDED:
        raise ValueError(
            f"got {harmful} distinct harmful prompts; expected at least {HARMFUL_NEEDED}, better "
            "some hundreds, of every kind that is to be refused. Add harmful prompts."
        )


def fit_score(harmful: Vectors, benign: Vectors, rate: float) -> LinearScore:
    """Fit a score to the embeddings of distinct prompts, and set its threshold.

    The threshold is the lowest score such that no more than the rate of the benign prompts score
    above it, each by a fit that did not see it.

    Args:
        harmful: (n, dimension), of prompts to refuse.
        benign: (m, dimension), of prompts to let through.
        rate: the share of benign prompts that may be refused.

    Returns:
        The score and its threshold.

    Raises:
        ValueError: if there are too few vectors, they have no common shape, or one is zero or not
            finite.
    """
    require_enough(len(harmful), len(benign), require_rate(rate))
    dimension = np.shape(harmful)[-1]
    fitted = cross_validated(_unit(harmful, dimension), _unit(benign, dimension))
    scores = fitted.scores.astype(np.float32)  # in which queries are compared with the threshold
    blocked, passed = scores[: len(harmful)], scores[len(harmful) :]
    threshold = np.sort(passed)[-1 - math.floor(rate * len(passed))]
    refused, caught = int((passed > threshold).sum()), int((blocked > threshold).sum())
    calibration = Calibration(
        harmful=len(harmful),
        benign=len(benign),
        false_refusal_rate=rate,
        false_refusals=refused / len(benign),
        false_refusals_interval=clopper_pearson(refused, len(benign)),
        blocked=caught / len(harmful),
        blocked_interval=clopper_pearson(caught, len(harmful)),
        strength=fitted.strength,
    )
    weights = fitted.weights[:-1].astype(np.float32)
    return LinearScore(weights, float(fitted.weights[-1]), float(threshold), calibration)


def _unit(vectors: Vectors, dimension: int) -> npt.NDArray[np.float64]:
    """Return vectors in float64, scaled to length 1; raise ValueError for what cannot be."""
    given = np.asarray(vectors, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != dimension:
        raise ValueError(
            f"vectors have the shape {given.shape}; expected (n, {dimension}), the embeddings of "
            "queries. For one vector pass vector[None]."
        )
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(wrong):
        raise ValueError(
            f"vectors[{wrong[0]}] is zero, or has NaN or infinity in it; expected the embedding "
            "of a query, as encode_query returns it."
        )
    scaled: npt.NDArray[np.float64] = given / lengths
    return scaled
