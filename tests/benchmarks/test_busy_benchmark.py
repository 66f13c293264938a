"""How the seconds beside a busy core and without it are summed up."""

from __future__ import annotations

from benchmarks.busy import quiet_and_busy, sum_up
from benchmarks.goals import read_goals

ROWS = read_goals()["threads of small products, shape `almanac`, CPU"]
MEASURED = {
    "chosen": [(1.0, 2.0), (2.0, 5.0), (1.0, 1.5)],
    "all": [(4.0, 8.0), (4.0, 10.0), (4.0, 9.0)],
    "one": [(1.0, 2.0), (2.0, 5.0), (1.0, 1.5)],
}


def test_each_way_is_compared_with_itself_round_by_round():
    figures = sum_up(MEASURED, documents=10)
    assert figures["busy_time_of_quiet"] == {"minimum": 1.5, "median": 2.0, "maximum": 2.5}
    assert figures["quiet"]["ratio_to_all"] == {"minimum": 2.0, "median": 4.0, "maximum": 4.0}
    assert figures["busy"]["texts_per_second"]["all"]["maximum"] == 10 / 8


def test_the_goals_are_of_these_figures():
    results = {"busy.almanac": sum_up(MEASURED, documents=10)}
    assert all(goal.spread(results) for goal in ROWS)


def test_the_second_measurement_has_the_busy_program_beside_it(monkeypatch):
    running = []

    class Counting:
        def __init__(self, command):
            running.append(command)

        def kill(self):
            running.clear()

        def wait(self):
            assert not running

    monkeypatch.setattr("benchmarks.busy.subprocess.Popen", Counting)
    assert quiet_and_busy(lambda: float(len(running))) == (0.0, 1.0)
    assert not running
