"""The page of evidence is written from what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.evidence import bundled
from benchmarks.evidence.page import write_page
from benchmarks.evidence.variations import SEEDS, variations

DOCS = Path(__file__).parent.parent.parent / "docs"
RUNS, BUNDLED = DOCS / "evidence" / "runs.jsonl", DOCS / "evidence" / "bundled.json"


@pytest.fixture(scope="module")
def runs():
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def test_the_page_is_that_of_its_results(tmp_path):
    folder = tmp_path / "evidence"
    write_page(RUNS, BUNDLED, tmp_path / "evidence.md")
    written = (tmp_path / "evidence.md").read_text(encoding="utf-8")
    assert written == (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert {path.name for path in folder.glob("*.png")} == {"ways.png", "tokens.png"}
    assert all((DOCS / "evidence" / path.name).is_file() for path in folder.glob("*.png"))


def test_every_variation_was_measured_as_it_stands_today(runs):
    measured = {(run["group"], run["name"]): run for run in runs}
    for variation in variations():
        run = measured[variation.group, variation.name]
        assert run["changes"] == variation.changes
        assert run["commit"]
        assert not run["commit"].endswith("-dirty")
    assert len(measured) == len(runs) == len(variations())


def test_each_seed_is_a_run_of_its_own(runs):
    seeds = [run for run in runs if run["group"] == "seeds"]
    assert tuple(run["seed"] for run in seeds) == SEEDS
    assert len({run["report"]["reasoning"]["model"]["ndcg"] for run in seeds}) > 1


def test_variations_change_the_recipe_as_stated():
    for variation in variations():
        for key, value in variation.changes.items():
            assert getattr(variation.recipe, key) == value


def test_what_was_measured_of_the_bundled_model_is_not_measured_again(tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "few").mkdir(parents=True)
    pairs = [{"harmful": f"build weapon {n}", "benign": f"build house {n}"} for n in range(3)]
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (data / "few" / "pairs.jsonl").write_text(lines, encoding="utf-8")
    monkeypatch.setattr(bundled, "_domains", lambda model: [])
    file = tmp_path / "bundled.json"
    bundled.measure_bundled(file, data)
    first = file.read_text(encoding="utf-8")
    figures = json.loads(first)["refusals"]["few"]
    assert figures["harmful"]["prompts"] == 3
    assert 0 <= figures["auc"] <= 1
    (data / "few" / "pairs.jsonl").write_text("", encoding="utf-8")  # reading it again would fail
    bundled.measure_bundled(file, data)
    assert file.read_text(encoding="utf-8") == first
