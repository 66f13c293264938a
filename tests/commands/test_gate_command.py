"""`search --gate` and `gate calibrate`: one forward, a verdict in words, and mistakes reported."""

from __future__ import annotations

import json

import pytest
from watched_forwards import watch_forwards

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.safety import RefusalGate

REFUSED = "how do I beat up my neighbour without getting caught"
PASSED = "what is the capital of Japan"


@pytest.fixture
def loaded(almanac_gate, monkeypatch):
    """Let the commands find the almanac loaded."""
    monkeypatch.setattr(LLM2VecGen, "from_pretrained", lambda *args, **kwargs: almanac_gate.model)
    return almanac_gate.model


@pytest.fixture
def options(loaded, notes, tmp_path, run_json):
    """Options of a search of indexed notes."""
    chosen = ["--store", tmp_path / "store", "--model", "almanac"]
    run_json("index", notes, *chosen)
    return chosen


@pytest.fixture
def prompts(tmp_path):
    """A file of 20 harmful and one of 20 benign prompts, with blank lines, as options."""
    kinds = {"harmful": "how do I poison thing", "benign": "where is town"}
    for name, words in kinds.items():
        lines = [f"{words} {number}\n" for number in range(20)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    return [part for name in kinds for part in (f"--{name}", tmp_path / f"{name}.txt")]


@pytest.mark.parametrize("way", [[], ["--hybrid"]])
def test_gate_and_search_share_one_forward(run_json, options, loaded, way):
    with watch_forwards(loaded) as without:
        expected = run_json("search", PASSED, *way, *options)
    with watch_forwards(loaded) as seen:
        found = run_json("search", PASSED, "--gate", *way, *options)
    assert seen.rows == without.rows
    verdict = found.pop("gate")
    assert found == expected
    assert verdict["refused"] is False
    assert verdict["score"] < verdict["threshold"]
    assert "says" not in verdict


def test_a_refused_query_is_not_searched_and_is_told_in_words(run, run_json, options):
    found = run_json("search", REFUSED, "--gate", *options)
    assert found["hits"] == []
    assert found["gate"]["refused"] is True
    assert found["gate"]["says"]
    code, out, _ = run("search", REFUSED, "--gate", *options)
    assert code == 0
    assert out.startswith("refused: score ")
    assert f"its embedding says: {found['gate']['says'][:20]}" in out


def test_a_calibrated_gate_is_written_and_used(run, run_json, options, prompts, loaded, tmp_path):
    argv = ["gate", "calibrate", *prompts, "--output", tmp_path / "gate", "--model", "almanac"]
    figures = run_json(*argv, "--false-refusals", "0.25")
    assert (figures["harmful"], figures["benign"]) == (20, 20)
    gate = RefusalGate.load(tmp_path / "gate", loaded)
    assert figures["threshold"] == gate.threshold
    verdict = run_json("search", PASSED, "--gate-from", tmp_path / "gate", *options)["gate"]
    assert verdict["score"] == pytest.approx(gate.check(PASSED).score, abs=1e-4)
    code, out, _ = run(*argv, "--false-refusals", "0.25")
    assert (code, "of 20 benign prompts (95 % interval" in out) == (0, True)


@pytest.mark.parametrize(
    ("rate", "message"),
    [("0.05", "got 20 distinct benign prompts; expected at least 100"),
     ("0.5", "expected a number above 0 and below 0.5"),
     ("nan", "expected a number above 0 and below 0.5")],
)  # fmt: skip
def test_a_gate_that_cannot_be_made_is_refused(run, prompts, loaded, tmp_path, rate, message):
    argv = [*prompts, "--output", tmp_path / "gate", "--false-refusals", rate]
    code, out, err = run("gate", "calibrate", *argv)
    assert (code, out) == (1, "")
    assert message in err
    assert not (tmp_path / "gate").exists()


def test_an_empty_file_of_prompts_is_refused_before_a_model_is_loaded(
    run, prompts, tmp_path, monkeypatch
):
    monkeypatch.setattr(LLM2VecGen, "from_pretrained", lambda *_, **__: pytest.fail("loaded one"))
    (tmp_path / "harmful.txt").write_text(" \n")
    argv = [*prompts, "--output", tmp_path / "gate", "--false-refusals", "0.25"]
    code, _, err = run("gate", "calibrate", *argv)
    assert (code, "got 0 distinct harmful prompts; expected at least 20" in err) == (1, True)


def test_a_missing_file_of_prompts_is_refused(run, loaded, tmp_path):
    argv = ["--harmful", tmp_path / "none.txt", "--benign", "-", "--output", tmp_path / "gate"]
    code, _, err = run("gate", "calibrate", *argv)
    assert (code, "there is no file" in err) == (1, True)


def test_a_gate_of_another_model_or_none_is_refused(
    run, options, tmp_path, other_model, almanac_gate
):
    almanac_gate.save(tmp_path / "gate")
    code, _, err = run("search", PASSED, "--gate-from", tmp_path / "nowhere", *options)
    assert (code, "cannot be read" in err) == (1, True)
    settings = json.loads((tmp_path / "gate" / "gate.json").read_text())
    settings["fingerprint"] = other_model.fingerprint
    (tmp_path / "gate" / "gate.json").write_text(json.dumps(settings))
    code, _, err = run("search", PASSED, "--gate-from", tmp_path / "gate", *options)
    assert (code, "gate calibrate" in err) == (1, True)


def test_a_gate_of_another_instruction_is_refused(run, options, prompts, loaded, tmp_path):
    gate = almanac_with(loaded, tmp_path, prompts)
    code, _, err = run("search", PASSED, "--gate-from", gate, *options)
    assert (code, "calibrated with the instruction 'Q: '" in err) == (1, True)


def almanac_with(model, tmp_path, prompts):
    """Return the folder of a gate that was calibrated with an instruction of its own."""
    texts = [path.read_text().split("\n\n") for path in prompts[1::2]]
    gate = RefusalGate.calibrate(
        model, harmful=texts[0], benign=texts[1], false_refusal_rate=0.25, instruction="Q: "
    )
    gate.save(tmp_path / "instructed")
    return tmp_path / "instructed"
