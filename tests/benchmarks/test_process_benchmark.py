"""How the seconds of one process and of several are summed up."""

from __future__ import annotations

from benchmarks.processes import DOCUMENTS, sum_up


def test_the_share_of_the_ideal_is_computed_round_by_round():
    figures = sum_up({"one": [8.0, 10.0, 12.0], "several": [4.0, 10.0, 8.0]}, processes=2)
    assert figures["share_of_ideal"] == {"minimum": 0.5, "median": 0.75, "maximum": 1.0}
    assert figures["texts_per_second"]["one"]["median"] == DOCUMENTS / 10
