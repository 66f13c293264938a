"""What a share of a few prompts says about the share of all: the interval of Clopper and Pearson.

C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
of the binomial", Biometrika 26 (1934), 404-413.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

CONFIDENCE = 0.95

_HALVINGS = 60


def clopper_pearson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share: what makes the count too rare lies outside.

    The lower end p has P(X >= count) = 2.5 %, the upper one P(X <= count) = 2.5 %, where X is the
    number of successes in `of` draws of probability p. It covers the true share in at least 95 %
    of cases, whatever that is.

    Args:
        count: how many were found.
        of: among how many, at least 1.

    Returns:
        The ends, in [0, 1].
    """
    tail = (1 - CONFIDENCE) / 2
    at_most = partial(_at_most, of=of)
    low = 0.0 if count == 0 else _falling(lambda p: at_most(count - 1, p=p), 1 - tail)
    high = 1.0 if count == of else _falling(lambda p: at_most(count, p=p), tail)
    return low, high


def _at_most(count: int, *, of: int, p: float) -> float:
    """Return P(X <= count) of a binomial X, for p in (0, 1)."""
    terms = (
        math.lgamma(of + 1)
        - math.lgamma(k + 1)
        - math.lgamma(of - k + 1)
        + k * math.log(p)
        + (of - k) * math.log1p(-p)
        for k in range(count + 1)
    )
    return math.fsum(map(math.exp, terms))


def _falling(function: Callable[[float], float], value: float) -> float:
    """Return where a function that falls on (0, 1) has a value, by halving."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return (low + high) / 2
