"""Bootstrap intervals over queries: of a figure of one set, of a mean over sets, and of a ratio.

That of the mean of differences, query by query, is a paired one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.real_texts.ranking import Scores

RESAMPLES = 2000
SEED = 42

# the nDCG@10 of each query, (queries,), by set
BySet = Mapping[str, Scores]


def mean_with_interval(ndcg: Scores, name: str) -> tuple[float, float, float]:
    """Return the mean over a set's queries, and the ends of its 95 % interval."""
    return float(ndcg.mean()), *_ends(_resampled(ndcg, name))


def mean_over_sets(ndcg: BySet) -> tuple[float, float, float]:
    """Return the mean over sets of the mean over queries, and the ends of its 95 % interval."""
    return _mean(ndcg), *_ends(_resampled_mean(ndcg))


def ratio_over_sets(ndcg: BySet, baseline: BySet) -> tuple[float, float, float]:
    """Return the ratio of two means over sets, and the ends of its 95 % interval.

    Both are resampled alike: the same queries of the same sets.
    """
    below = _resampled_mean(baseline)
    if (below == 0).any():
        raise ValueError(
            "the baseline finds nothing in some resamples, so there is no ratio to it; expected "
            "some relevant document within ten. Measure more queries."
        )
    return _mean(ndcg) / _mean(baseline), *_ends(_resampled_mean(ndcg) / below)


def _resampled(ndcg: Scores, name: str) -> Scores:
    """Return the means of 2000 resamples of a set's queries, the same queries for every way."""
    drawn = np.random.default_rng([SEED, *name.encode()])
    return ndcg[drawn.integers(len(ndcg), size=(RESAMPLES, len(ndcg)))].mean(axis=1)


def _resampled_mean(ndcg: BySet) -> Scores:
    return np.mean([_resampled(found, name) for name, found in ndcg.items()], axis=0)


def _mean(ndcg: BySet) -> float:
    return float(np.mean([found.mean() for found in ndcg.values()]))


def _ends(values: Scores) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
