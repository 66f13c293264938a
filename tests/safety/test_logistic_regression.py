"""The regression is scikit-learn's, and its strength is chosen by rows that were left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from llm2vec_gen_rag.safety.logistic_regression import STRENGTHS, cross_validated, fit, log_odds


@pytest.fixture
def classes():
    drawn = np.random.default_rng(0)
    return drawn.normal(0.3, 1.0, (60, 8)), drawn.normal(-0.3, 1.0, (140, 8))


@pytest.mark.parametrize("strength", [30.0, 0.3])
def test_the_minimum_is_that_of_scikit_learn(classes, strength):
    rows = np.concatenate(classes)
    signs = np.repeat([1.0, -1.0], [len(part) for part in classes])
    theirs = LogisticRegression(C=1 / strength, class_weight="balanced", tol=1e-10, max_iter=5000)
    theirs.fit(rows, signs)
    found = log_odds(rows, fit(rows, signs, strength))
    np.testing.assert_allclose(found, theirs.decision_function(rows), atol=1e-4)


@pytest.mark.parametrize("start", [np.zeros(9), np.full(9, 40.0), np.full(9, -3.0)])
def test_any_start_ends_at_the_same_minimum(classes, start):
    rows = np.concatenate(classes)
    signs = np.repeat([1.0, -1.0], [len(part) for part in classes])
    np.testing.assert_allclose(fit(rows, signs, 1.0, start), fit(rows, signs, 1.0), atol=1e-3)


def test_rows_without_a_signal_get_the_strongest_regularisation_but_one_that_foresees_more(classes):
    drawn = np.random.default_rng(1)
    noise = cross_validated(drawn.normal(size=(60, 30)), drawn.normal(size=(60, 30)))
    signal = cross_validated(*classes)
    assert noise.strength == STRENGTHS[0] > signal.strength


def test_no_row_is_scored_by_a_fit_that_saw_it():
    drawn = np.random.default_rng(2)
    positive, negative = drawn.normal(size=(20, 60)), drawn.normal(size=(20, 60))
    found = cross_validated(positive, negative)
    seen = log_odds(positive, found.weights).mean() - log_odds(negative, found.weights).mean()
    unseen = found.scores[:20].mean() - found.scores[20:].mean()
    assert seen > 1 > unseen  # of noise, what a fit saw is told apart, and nothing else


def test_copies_of_a_row_that_follow_each_other_are_left_out_together():
    drawn = np.random.default_rng(3)
    topics = drawn.normal(size=(2, 5, 60)).repeat(8, axis=1)  # five topics of eight equal rows
    found = cross_validated(*topics)
    assert abs(found.scores[:40].mean() - found.scores[40:].mean()) < 1.0


def test_separable_and_equal_rows_have_a_finite_fit():
    ones = np.ones((10, 3))
    assert np.isfinite(cross_validated(ones, -ones).weights).all()
    assert np.isfinite(cross_validated(ones, ones).scores).all()
