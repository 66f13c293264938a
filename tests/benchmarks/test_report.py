"""The page docs/performance.md, and the goals of one machine."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.engine_tables import engine_tables
from benchmarks.figures import in_turn, ratios, spread
from benchmarks.goals import read_goals
from benchmarks.plots import PANELS, PLOTS
from benchmarks.processor import KINDS, Machine, machine_of
from benchmarks.report import PAGE, RESULTS, goals_here, goals_table, page, read_results

GOALS = read_goals()
ROWS = GOALS["shape `0.6b`, CPU"]
INT8_ROWS = GOALS["8 bits, shape `0.6b` and bundled model, CPU"]
EPYC, XEON = (
    {"processor": name, "kind": kind, "threads": 2, "torch": "2.13.0", "features": ()}
    | {"family": family, "model": model, "native_bfloat16": True}
    for name, kind, family, model in (
        ("Two cores", "avx512-bf16", None, None),
        ("A Xeon", "amx", 6, 143),
    )
)


@pytest.fixture
def measured(tmp_path):
    """Results of two processors, of the same ratio to sorted batches; one has decoded, too."""
    encoded = {"ratio_to_sorted": spread([1.5, 1.6, 1.7])}
    decoded = {"ratio": ratios([9.0, 9.0, 9.0], [1.0, 2.0, 4.0])}
    for machine, name, figures in (
        (EPYC, "encode.0.6b", {"documents": encoded}),
        (EPYC, "decode.0.6b", decoded),
        (XEON, "encode.0.6b", {"documents": encoded}),
    ):
        program = f"python -m benchmarks.{name.partition('.')[0]} --shape 0.6b"
        run = {"program": program, "shape": "0.6b", "rounds": 3, "machine": machine}
        file = tmp_path / Machine(**machine).folder / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**run, **figures}), encoding="utf-8")
    return read_results(tmp_path)


def row_of(table, *words):
    """The cells of the one row of a table that has these words."""
    (line,) = (line for line in table.splitlines() if all(word in line for word in words))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rounds_measure_in_turn():
    calls = []
    ways = {way: lambda way=way: calls.append(way) or len(calls) for way in ("ours", "reference")}
    assert in_turn(2, ways) == {"ours": [1, 3], "reference": [2, 4]}
    assert calls == ["ours", "reference"] * 2


def test_a_ratio_is_computed_round_by_round():
    assert ratios([8.0, 9.0, 6.0], [2.0, 3.0, 3.0]) == {
        "minimum": 2.0,
        "median": 3.0,
        "maximum": 4.0,
    }


def test_the_page_is_that_of_its_results():
    assert PAGE.read_text(encoding="utf-8") == page(read_results(RESULTS))


def test_every_link_and_every_plot_of_the_page_is_there():
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) > 20
    assert all((PAGE.parent / link).exists() for link in links)
    for processor, results in read_results(RESULTS).items():
        for name in results:
            drawn = name.partition(".")[0] in {*PANELS, "scale"}
            assert (PLOTS / processor / f"{name}.png").is_file() == drawn


def test_every_file_of_figures_is_in_the_folder_of_its_processor():
    files = list(RESULTS.rglob("*.json"))
    assert files
    for file in files:
        machine = Machine(**json.loads(file.read_text(encoding="utf-8"))["machine"])
        assert file.parent == RESULTS / machine.folder
        assert machine.native_bfloat16 == (machine.kind in {"avx512-bf16", "amx"})


def test_every_goal_has_one_bound_for_every_kind():
    for row in (row for rows in GOALS.values() for row in rows):
        assert (row.at_least is None) != (row.at_most is None)
        bound = row.at_most if row.at_least is None else row.at_least
        if isinstance(bound, dict):
            assert "else" in bound
            assert set(bound) <= {*KINDS, "else"}


def test_every_goal_is_measured():
    measured = read_results(RESULTS).values()
    for row in (row for rows in GOALS.values() for row in rows):
        assert any(row.spread(results) is not None for results in measured), row.label


def test_processors_stand_side_by_side_and_a_goal_is_judged_by_their_kind(measured):
    table = goals_table("CPU", ROWS, measured)
    assert table.splitlines()[0] == "| CPU | goal | limit | `avx512-bf16` | `amx-6-143` |"
    assert row_of(table, "documents per second", "sorted batches")[1:] == [
        "≥ 1.4, on `amx` ≥ 1.8",
        "",
        "**1.6** (1.5 to 1.7), reached",
        "**1.6** (1.5 to 1.7), missed",
    ]


def test_the_median_decides_whether_a_goal_is_reached(measured):
    cells = row_of(goals_table("CPU", ROWS, measured), "256 tokens")
    assert cells[1:] == ["≥ 5", "", "**4.5** (2.25 to 9), missed", "not measured"]


def test_a_figure_that_older_results_lack_is_not_measured(measured):
    cells = row_of(goals_table("CPU", ROWS, measured), "the same, relative to `generate`")
    assert cells[-2:] == ["not measured", "not measured"]


def test_the_page_says_which_kinds_and_which_goals_are_not_measured(measured):
    text = page(measured)
    assert row_of(text, "`avx512-bf16` | AVX-512")[-1] == "Two cores, 2 threads, torch 2.13.0"
    assert row_of(text, "`amx-6-143` | AMX")[-1] == (
        "A Xeon (family 6, model 143), 2 threads, torch 2.13.0"
    )
    assert row_of(text, "`avx2` | AVX2")[-1] == "**not measured**"
    assert "| `avx512` |" not in text  # it need not be measured
    lines = text.splitlines()
    (missing,) = (line for line in lines if "not been measured on any processor yet" in line)
    assert "`python -m benchmarks.hyde --shape 0.6b`" in missing
    assert "benchmarks.encode" in missing  # of whose figures here some are missing
    assert "training on a GPU are **not yet measured**" in text


def test_every_measurement_shows_what_each_processor_has(measured):
    what, first, second = row_of(page(measured), "**Decoding**")
    assert what == "**Decoding**<br>`python -m benchmarks.decode --shape 0.6b`"
    assert first == "[figures](../benchmarks/results/avx512-bf16/decode.0.6b.json) (rounds: 3)"
    assert second == "not measured"


def test_a_reading_and_plots_stand_under_their_processor():
    measured = read_results(RESULTS)
    name = "avx512-bf16-26-2"
    text = page({name: measured[name]})
    assert f"### On `{name}`\n\n- **" in text
    assert text.count("### On ") == 1
    assert f"![decode.0.6b, {name}](plots/{name}/decode.0.6b.png)" in text


def test_a_machine_is_told_what_its_processor_reaches(measured):
    cpuinfo = "model name : Small Xeon\ncpu family : 6\nmodel : 207\nflags : amx_tile amx_bf16\n"
    text = goals_here(machine_of(cpuinfo, threads=8), measured["amx-6-143"])
    assert text.startswith("this machine: Small Xeon (family 6, model 207), 8 threads, torch ")
    assert "\nkind: amx (" in text
    assert "\nfigures of this processor: A Xeon (family 6, model 143), 2 threads, torch" in text
    lines = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert len(lines) == sum(map(len, GOALS.values()))
    assert lines[0][:7] == ["missed", "≥", "1.8", "1.6", "(1.5", "to", "1.7)"]
    assert lines[1][:4] == ["not", "measured", "≥", "2.5"]
    assert not set("`*|") & set(text)


def test_a_machine_of_a_processor_without_figures_is_told_how_to_measure():
    text = goals_here(machine_of("flags : avx2\n", threads=1), {})
    assert "\nfigures of this processor: none yet; make bench measures them\n" in text
    assert text.count("  not measured  ") == sum(map(len, GOALS.values()))


def test_8_bits_are_judged_by_the_worst():
    kinds = {"minimum": 0.0, "median": 0.0, "maximum": 0.02}
    cosines = {"minimum": 0.98, "median": 0.999, "maximum": 1.0}
    side = {"cosine": cosines, "ratio": {"minimum": 0.9, "median": 0.99, "maximum": 1.2}}
    figures = {
        "machine": {"kind": "avx2"},
        "documents": side,
        "queries": side,
        "bundled_model": {"cosine": cosines, "ndcg_loss": kinds},
    }
    table = goals_table("8 bits", INT8_ROWS, {"avx2": {"int8.0.6b": figures}})
    _, _, *lines = table.splitlines()
    assert len(lines) == 6
    assert all(line.endswith(", missed |") for line in lines)


def test_the_page_has_the_cost_of_8_bits():
    table = goals_table("8 bits", INT8_ROWS, {})
    assert table in page({}).replace("8 bits, shape `0.6b` and bundled model, CPU", "8 bits")
    assert "`python -m benchmarks.int8 --shape 0.6b`" in page({})


def test_other_engines_stand_beside_ours():
    def part(unit, ours, other, **more):
        rates = {"ours": {"median": ours}, "llama.cpp": {"median": other}}
        return {unit: rates, "ratio_to": {"llama.cpp": {"median": ours / other}}, **more}

    same = {"count": 8, "same_vectors": {"llama.cpp": 0.9991}}
    figures = {
        "dtype": "float32",
        "documents": part("texts_per_second", 4.0, 2.0, **same),
        "queries": part(
            "texts_per_second", 9.0, 12.0, count=40, same_vectors={"llama.cpp": 0.9999}
        ),
        "decoding": part("tokens_per_second", 10.0, 20.0),
        "left_out": {"openvino": "not installed"},
    }
    (found,) = engine_tables({"avx2": {"peers.smollm2": figures, "encode.smollm2": {}}})
    assert found.title == "Shape `smollm2` in float32 on `avx2`, 8 documents and 40 queries"
    assert found.rows == [
        ["ours", "4", "", "9", "", "", "10", ""],
        ["llama.cpp", "2", "2.00", "12", "0.75", "0.9991", "20", "0.50"],
    ]
    assert found.left_out == "openvino (not installed)"
