"""The intervals of Clopper and Pearson are those of the beta distribution."""

from __future__ import annotations

import pytest
from scipy.stats import beta

from llm2vec_gen_rag.safety.proportions import clopper_pearson


@pytest.mark.parametrize(("count", "of"), [(1, 20), (5, 100), (17, 40), (200, 4000), (39, 40)])
def test_the_ends_are_quantiles_of_beta_distributions(count, of):
    expected = beta.ppf(0.025, count, of - count + 1), beta.ppf(0.975, count + 1, of - count)
    assert clopper_pearson(count, of) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("of", [1, 30])
def test_none_and_all_have_an_end_at_the_edge(of):
    low, high = clopper_pearson(0, of)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / of)))
    assert clopper_pearson(of, of) == (pytest.approx(1 - high), 1.0)
