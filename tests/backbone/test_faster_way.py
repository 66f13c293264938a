"""What is faster on this processor is measured once for each number of threads, or set."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from llm2vec_gen_rag.backbone import faster_way
from llm2vec_gen_rag.backbone.faster_way import FasterWay, usual_ways
from llm2vec_gen_rag.backbone.products import _without_onednn
from llm2vec_gen_rag.cpu import FASTER_WAYS


def waiting(way, usual):
    """Return a choice between two waits of some seconds, and the list of its measurements."""
    measured = []

    def ways():
        measured.append(torch.get_num_threads())
        return lambda: time.sleep(way), lambda: time.sleep(usual)

    return FasterWay("waiting", ways), measured


@pytest.mark.parametrize(
    ("way", "usual", "faster"),
    [(0.001, 0.01, True), (0.01, 0.001, False), (0.01, 0.01, False)],
    ids=["faster", "slower", "no gain worth it"],
)
def test_the_faster_way_is_taken_and_named_in_the_log(way, usual, faster, caplog):
    choice, _ = waiting(way, usual)
    with caplog.at_level(logging.INFO):
        assert choice.is_faster() is faster
    assert "waiting" in caplog.text
    assert ("not used" in caplog.text) is not faster


def test_each_number_of_threads_is_measured_once():
    choice, measured = waiting(0, 0.001)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            choice.is_faster()
    finally:
        torch.set_num_threads(before)
    assert measured == [1, 2]


def test_threads_that_ask_at_once_measure_once():
    choice, measured = waiting(0, 0.01)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: choice.is_faster(), range(4)))
    assert len(measured) == 1


def test_nothing_is_decided_while_another_thread_writes_without_onednn():
    choice, measured = waiting(0, 0.001)
    with _without_onednn:
        assert not choice.is_faster()
    assert not measured
    assert choice.is_faster()


def test_what_was_set_is_not_measured():
    choice, measured = waiting(0, 0.001)
    choice.set(False)
    assert not choice.is_faster()
    assert not measured
    choice.set(None)
    assert choice.is_faster()


def test_where_runs_have_to_repeat_each_other_only_what_was_set_is_taken():
    choice, measured = waiting(0, 0.001)
    with usual_ways:
        assert not choice.is_faster()
        assert not measured
        choice.set(True)
        assert choice.is_faster()
        choice.set(None)
    assert choice.is_faster()


def test_where_memory_is_short_it_is_asked_for_once_and_the_usual_way_taken(monkeypatch):
    asked, measured = [], []
    monkeypatch.setattr(faster_way, "available_memory", lambda: asked.append(1) or 2**20)
    choice = FasterWay("large", lambda: measured.append(1), large_matrices=1)
    assert not any(choice.is_faster() for _ in range(100))
    assert len(asked) == 1
    assert not measured


@pytest.mark.parametrize(("large_matrices", "free"), [(0, 2**20), (1, None)])
def test_what_is_small_or_on_a_system_that_does_not_say_is_measured(
    large_matrices, free, monkeypatch
):
    monkeypatch.setattr(faster_way, "available_memory", lambda: free)
    ways = (lambda: time.sleep(0), lambda: time.sleep(0.001))
    assert FasterWay("waiting", lambda: ways, large_matrices=large_matrices).is_faster()


@pytest.mark.parametrize("name", FASTER_WAYS)
def test_both_ways_compute_the_same_on_this_processor(name):
    way, usual = (compute() for compute in FASTER_WAYS[name]._ways())
    torch.testing.assert_close(way, usual, rtol=1e-2, atol=0)
