"""Both packages take the same training step, each in a process of its own."""

from __future__ import annotations

import pytest
from tiny_shape import TEXTS, TINY

from benchmarks import reference_environment, training
from benchmarks.checkpoints import SHAPES, checkpoint_for
from benchmarks.goals import read_goals
from benchmarks.report import goals_table, page
from benchmarks.workers import ours

TRAINING_ROWS = read_goals()["a training step, CPU"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(checkpoint_for(TINY, TEXTS, tmp_path_factory.mktemp("checkpoints")))


def test_the_batch_is_of_the_stated_size_and_always_the_same():
    questions, answers = training.batch()
    assert [len(row) for row in questions] == [training.QUESTION_TOKENS] * training.BATCH
    assert [len(row) for row in answers] == [training.ANSWER_TOKENS] * training.BATCH
    assert all(row[-1] == training.END for row in answers)
    assert training.batch() == (questions, answers)


def test_our_worker_trains(checkpoint):
    questions, answers = training.batch()
    with ours(threads=1) as worker:
        worker.ask("load_for_training", checkpoint=checkpoint)
        teacher = [[0.1] * TINY.hidden] * training.BATCH
        worker.ask("batch", questions=questions, answers=answers, teacher=teacher)
        before = worker.ask("losses")
        assert worker.ask("losses") == before
        assert all(worker.ask("step") > 0 for _ in range(3))
        after = worker.ask("losses")
        assert after["alignment"] < before["alignment"]
        assert worker.ask("peak") > 50


@pytest.mark.skipif(
    not reference_environment.PYTHON.is_file(),
    reason="the reference package is not set up: python -m benchmarks.reference_environment",
)
@pytest.mark.parametrize("recomputed", [False, True])
def test_both_packages_begin_with_the_same_losses(checkpoint, recomputed):
    figures = training.measure(checkpoint, recomputed, rounds=1, threads=1)
    mine, theirs = figures["losses"]["ours"], figures["losses"]["reference"]
    assert mine == {name: pytest.approx(value, rel=0.01) for name, value in theirs.items()}
    assert figures["ratio"]["median"] > 0
    assert figures["memory_ratio"]["median"] > 0


def test_the_arithmetic_counts_what_each_step_computes():
    # every token through the layers and the logits, forward and backward; the teacher only forward
    assert training.reference_weights(TINY, recomputed=False) == pytest.approx(
        TINY.layers * TINY.layer_weights * (2 * 4 * 68 + 2 * 4 * 260 + 4 * 256)
        + 2 * 4 * 260 * TINY.vocabulary * TINY.hidden
    )
    assert training.our_weights(TINY) == pytest.approx(
        TINY.layers * TINY.layer_weights * (4 * 64 + 2 * 4 * 4 + 2 * 4 * 259)
        + 2 * 4 * 256 * TINY.vocabulary * TINY.hidden
    )


def test_the_page_shows_the_command_for_each_shape():
    assert {row.results for row in TRAINING_ROWS} == {
        f"training.{name}" for name in ("0.6b", "12x512")
    }
    assert "12x512" in SHAPES
    assert goals_table("a training step, CPU", TRAINING_ROWS, {}) in page({})
    assert "`python -m benchmarks.training --shape 0.6b`" in page({})
