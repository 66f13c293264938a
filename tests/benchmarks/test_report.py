"""The page docs/performance.md."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import in_turn, ratios, spread
from benchmarks.report import PAGE, RESULTS, goals_table, page, read_goals, read_results

GOALS = read_goals()
ROWS = GOALS["shape `0.6b`, CPU"]
INT8_ROWS = GOALS["8 bits, shape `0.6b` and bundled model, CPU"]
MACHINE = {"processor": "Two cores", "threads": 2, "torch": "2.13.0", "native_bfloat16": True}


@pytest.fixture
def results(tmp_path):
    figures = {
        "program": "python -m benchmarks.decode --shape 0.6b",
        "shape": "0.6b",
        "rounds": 3,
        "machine": MACHINE,
        "seconds": {"ours": spread([1.0, 2.0, 4.0]), "reference": spread([9.0, 9.0, 9.0])},
        "ratio": ratios([9.0, 9.0, 9.0], [1.0, 2.0, 4.0]),
    }
    (tmp_path / "decode.0.6b.json").write_text(json.dumps(figures), encoding="utf-8")
    return read_results(tmp_path)


def test_rounds_measure_in_turn():
    calls = []
    ways = {way: lambda way=way: calls.append(way) or len(calls) for way in ("ours", "reference")}
    assert in_turn(2, ways) == {"ours": [1, 3], "reference": [2, 4]}
    assert calls == ["ours", "reference"] * 2


def test_the_page_is_that_of_its_results():
    assert PAGE.read_text(encoding="utf-8") == page(read_results(RESULTS))


def test_every_goal_has_one_bound_and_is_measured():
    results = read_results(RESULTS)
    for rows in GOALS.values():
        for row in rows:
            assert (row.at_least is None) != (row.at_most is None)
            assert row.row(results)[-1] in {"yes", "no"}


def test_a_ratio_is_computed_round_by_round():
    assert ratios([8.0, 9.0, 6.0], [2.0, 3.0, 3.0]) == {
        "minimum": 2.0,
        "median": 3.0,
        "maximum": 4.0,
    }


def test_the_median_decides_whether_a_goal_is_reached(results):
    (line,) = [
        line for line in goals_table("CPU", ROWS, results).splitlines() if "256 tokens" in line
    ]
    assert "| ≥ 5 | 2.25 | **4.5** | 9 |" in line
    assert line.endswith("| no |")


def test_what_is_not_measured_shows_the_command(results):
    lines = [line for line in goals_table("CPU", ROWS, results).splitlines() if "HyDE" in line]
    assert len(lines) == 2
    assert "not yet measured: `python -m benchmarks.hyde --shape 0.6b`" in lines[0]


def test_the_page_says_what_was_measured_on_what_and_that_no_gpu_was(results):
    text = page(results)
    assert "Measured on Two cores, 2 threads, torch 2.13.0, with native bfloat16." in text
    assert (
        "- `python -m benchmarks.decode --shape 0.6b --rounds 3`: "
        "[figures](../benchmarks/results/decode.0.6b.json)\n\n"
        "![decode.0.6b](plots/decode.0.6b.png)"
    ) in text
    assert "training on a GPU are **not yet measured**" in text


def test_8_bits_are_judged_by_the_worst():
    kinds = {"minimum": 0.0, "median": 0.0, "maximum": 0.02}
    cosines = {"minimum": 0.98, "median": 0.999, "maximum": 1.0}
    figures = {
        "documents": {"cosine": cosines},
        "queries": {"cosine": cosines},
        "bundled_model": {"cosine": cosines, "ndcg_loss": kinds},
    }
    _, _, *lines = goals_table("8 bits", INT8_ROWS, {"int8.0.6b": figures}).splitlines()
    assert len(lines) == 4
    assert all(line.endswith("| no |") for line in lines)


def test_the_page_has_the_cost_of_8_bits():
    table = goals_table("8 bits", INT8_ROWS, {})
    assert table.count("not yet measured: `python -m benchmarks.int8 --shape 0.6b`") == 4
    assert table in page({}).replace("8 bits, shape `0.6b` and bundled model, CPU", "8 bits")
