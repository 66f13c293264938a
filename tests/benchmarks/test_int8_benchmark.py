"""What 8 bits cost is measured text by text, and question by question."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from tiny_shape import TEXTS, TINY

from benchmarks.checkpoints import checkpoint_for
from benchmarks.int8 import cosines, load, measure, ndcg_by_group
from benchmarks.plots import draw_bars
from benchmarks.processor import this_machine
from benchmarks.workers import ours

AXES = np.eye(3, dtype=np.float32)


def test_cosines_are_of_the_same_text():
    vectors = {"int8": AXES[[0, 1, 2]], "default": AXES[[0, 1, 1]]}
    assert cosines(vectors) == [1.0, 1.0, 0.0]


def test_ndcg_is_by_kind_of_question():
    documents = {"int8": AXES, "default": AXES}
    queries = {"int8": AXES[[0, 0]], "default": AXES[[0, 1]]}
    found = ndcg_by_group(documents, queries, np.array([0, 1]), ["direct", "benign"])
    assert found["direct"] == {"int8": 1.0, "default": 1.0}
    assert found["benign"]["int8"] < found["benign"]["default"] == 1.0
    assert set(found) == {"direct", "benign"}


@pytest.mark.slow
def test_workers_are_compared_and_drawn(tmp_path):
    checkpoint = str(checkpoint_for(TINY, TEXTS, tmp_path))
    with ours(threads=1) as int8, ours(threads=1) as default:
        workers = {"int8": int8, "default": default}
        load(workers, checkpoint)
        figures = measure(workers, TEXTS.documents, "Say: ", rounds=1)
        resident = int8.ask("resident")
        assert 50 < resident <= int8.ask("peak")
    assert 0.99 < figures["cosine"]["minimum"] < 1
    assert figures["ratio"]["median"] == pytest.approx(
        figures["texts_per_second"]["int8"]["median"]
        / figures["texts_per_second"]["default"]["median"],
        rel=1e-2,
    )
    spread = {"minimum": resident, "median": resident, "maximum": resident}
    drawn = draw_bars(
        "int8",
        {
            "documents": figures,
            "queries": figures,
            "resident_mib": {"int8": spread, "default": spread},
            "shape": "tiny",
            "machine": asdict(this_machine(threads=1)),
        },
    )
    assert [axis.get_title() for axis in drawn.axes] == [
        "documents per second",
        "queries per second",
        "resident memory, MiB",
    ]
