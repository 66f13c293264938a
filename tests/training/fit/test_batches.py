"""The plan of a run: every pair in its turn, neighbours in length, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from llm2vec_gen_rag.training.fit.batches import plan_steps
from llm2vec_gen_rag.training.objective import TokenPair


@pytest.fixture
def pairs():
    lengths = np.random.default_rng(0).integers(1, 30, size=(600, 2))
    return [TokenPair(np.zeros(q, np.int64), np.zeros(a, np.int64)) for q, a in lengths]


def test_every_epoch_visits_every_pair_once(pairs):
    plan = plan_steps(pairs, steps=75, batch_size=16, seed=0)
    assert [len(rows) for rows in plan] == [16] * 75
    assert Counter(row for rows in plan for row in rows) == dict.fromkeys(range(600), 2)


def test_a_batch_holds_questions_of_one_length_where_it_can(pairs):
    plan = plan_steps(pairs, steps=30, batch_size=8, seed=0)
    spreads = [np.ptp([len(pairs[row].question) for row in rows]) for rows in plan]
    assert np.mean(spreads) < 3


def test_lengths_do_not_rise_with_the_steps(pairs):
    plan = plan_steps(pairs, steps=50, batch_size=12, seed=0)
    lengths = [np.mean([len(pairs[row].question) for row in rows]) for rows in plan]
    assert abs(np.corrcoef(np.arange(50), lengths)[0, 1]) < 0.4


def test_the_plan_follows_from_the_seed(pairs):
    first, same, other = (
        plan_steps(pairs, steps=40, batch_size=16, seed=seed) for seed in (1, 1, 2)
    )
    assert first == same != other


def test_fewer_pairs_than_a_batch_are_repeated(pairs):
    (rows,) = plan_steps(pairs[:3], steps=1, batch_size=6, seed=0)
    assert Counter(rows) == {0: 2, 1: 2, 2: 2}
