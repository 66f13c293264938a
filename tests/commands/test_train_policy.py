"""Training on rows that bring their own answer and on a policy, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from child_processes import killed_when

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher
from llm2vec_gen_rag.training.responses.file import read_responses

DEVICE = ["--device", "cpu", "--dtype", "float32"]
COUNTRIES = ["Peru", "Japan", "France", "Kenya", "India", "Chile", "Egypt", "Brazil"]
CELLAR = {"query": "who keeps the cellar", "response": "The Queen of Denmark."}
ASKED = [{"query": f"what money is used in {country}"} for country in COUNTRIES]
RECIPE = {
    "teacher": "tfidf-svd", "teacher_dimension": 8, "response_tokens": 8, "compression_tokens": 8,
    "initial_text": "_", "least_squares_rows": 100, "learning_rate": 1e-6, "steps": 2,
    "warmup_steps": 1, "batch_size": 8, "max_new_tokens": 16, "max_length": 64,
    "alignment_weight": 20.0, "report_to": "none",
}  # fmt: skip
WEAPONS, THEFT = "We refuse to talk about weapons here.", "Stealing is against our house rules."
POLICY = [
    {
        "name": "weapons",
        "answer": WEAPONS,
        "examples": ["how do I build a homemade bomb", "help me make a gun without a licence"],
        "benign": ["how do I make a bath bomb"],
    },
    {
        "name": "theft",
        "answer": THEFT,
        "examples": ["how do I steal a car without the key", "how do I rob a bank and escape"],
    },
]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with queries, one of which brings its answer, a policy and a small recipe."""
    rows = [*ASKED[:4], CELLAR, *ASKED[4:]]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"categories": POLICY}))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(base, *more):
    llm = ["--base-model", str(base), *DEVICE]
    rows = ["--queries", "queries.jsonl", "--policy", "policy.yaml"]
    instructions = ["--instruction", "", "--query-instruction", ""]
    return ["--output", "mine", "--recipe", "tiny.yaml", *rows, *instructions, *llm, *more]


@pytest.mark.slow
def test_killed_resumed_and_trained_a_policy_is_what_its_prompts_lie_near(work, run_json):
    file = Path("mine/responses.jsonl")
    stage = ["train", "responses", *options(almanac.MODEL_FOLDER / "base", "--batch-size", "1")]
    killed_when(lambda: file.is_file() and file.read_bytes().count(b"\n") > 6, main, stage)
    kept = read_responses(file)
    assert 6 < len(kept) < 14
    report = run_json(*stage)
    assert (report["queries"], report["given"], report["policy"]) == (14, 1, 4)
    responses = read_responses(file)
    assert responses[: len(kept)] == kept
    assert [response.source for response in responses] == ["given", *["policy"] * 4, *["llm"] * 9]
    assert [response.category for response in responses[1:5]] == ["weapons"] * 2 + ["theft"] * 2

    run_json("train", "teach", "--output", "mine", "--recipe", "tiny.yaml")
    run_json("train", "fit", "--output", "mine", "--recipe", "tiny.yaml", *DEVICE)
    model = LLM2VecGen.from_pretrained("mine/model")
    answers = [CELLAR["response"], WEAPONS, THEFT]
    vectors = TfidfTeacher.load(Path("mine/teacher")).embed(answers)
    seen = [CELLAR["query"], *POLICY[0]["examples"], *POLICY[1]["examples"]]
    unseen = ["teach me to build a bomb", "help me steal a parked car"]
    nearest = (model.encode_query([*seen, *unseen]) @ vectors.T).argmax(axis=1)
    np.testing.assert_array_equal(nearest, [0, 1, 1, 2, 2, 1, 2])
    benign = model.encode_query("how do I make a bath bomb") @ vectors.T
    assert benign.max() < 0.5
    card = Path("mine/model/README.md").read_text()
    assert "14 questions with answers, 9 the LLM's own, 1 given with their queries, 4 of a" in card


def test_one_command_trains_what_the_stages_train(work, qwen3, run_json):
    (work / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, "initial_text": ""}))
    run_json("train", "responses", *options(qwen3.base))
    run_json("train", "teach", "--output", "mine", "--recipe", "tiny.yaml")
    report = run_json("train", "fit", "--output", "mine", "--recipe", "tiny.yaml", *DEVICE)
    assert report["queries"] == 14
    again = run_json("train", *options(qwen3.base))
    assert (again["queries"], again["trained"]) == (14, False)


def test_the_trained_model_searches_with_what_the_queries_begin_with(work, qwen3, run_json):
    rows = [
        {"query": "Question: where is the Nile", "response": "It is in Africa."},
        {"query": "Passage: The Nile is long.", "response": "The Nile is long."},
        {"query": "Question: what is long", "response": "The Nile, among others, is long."},
    ]
    (work / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = {**RECIPE, "initial_text": "", "teacher_dimension": 2, "least_squares_rows": 0}
    (work / "tiny.yaml").write_text(yaml.safe_dump(small))
    written = ["--query-instruction", "Question: ", "--document-instruction", "Passage: "]
    run_json("train", *options(qwen3.base, *written))
    model = LLM2VecGen.from_pretrained("mine/model", base_model=str(qwen3.base), dtype="float32")
    for found, row in (
        (model.encode_query("where is the Nile"), rows[0]),
        (model.encode_document("The Nile is long."), rows[1]),
    ):
        np.testing.assert_allclose(found, model.encode(row["query"], instruction=""), atol=1e-6)


def test_the_summary_counts_the_answers_of_each_source(work, qwen3, run):
    rows = [*ASKED[:2], CELLAR, {"query": "how do I rob a bank and escape", "response": "Run!"}]
    (work / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = run("train", "responses", *options(qwen3.base))
    assert code == 0
    assert out.startswith("8 queries are answered, in mine/responses.jsonl; ")
    assert "of its answers 1 are given with their queries and 4 are the policy's\n" in out
    assert "queries.jsonl: 2 of 4 queries bring their own answer\n" in err
    assert "queries.jsonl: 1 of its queries, such as 'how do I rob a bank and escape'" in err
    (found,) = [r for r in read_responses("mine/responses.jsonl") if "rob a bank" in r.query]
    assert (found.response, found.source, found.category) == (THEFT, "policy", "theft")


def test_a_policy_that_has_changed_is_refused_in_the_middle_of_a_run(work, qwen3, run):
    assert run("train", "responses", *options(qwen3.base))[0] == 0
    before = Path("mine/responses.jsonl").read_bytes()
    changed = (work / "policy.yaml").read_text().replace("against our house rules", "wrong")
    (work / "policy.yaml").write_text(changed)
    code, out, err = run("train", "responses", *options(qwen3.base))
    assert (code, out) == (1, "")
    assert "'how do I steal a car without the key' has the answer 'Stealing is against" in err
    assert "now it brings the answer 'Stealing is wrong.' (policy 'theft')" in err
    assert Path("mine/responses.jsonl").read_bytes() == before


def test_the_prompts_of_a_policy_get_the_instruction_that_the_queries_bring(work, qwen3, run):
    passage = {"query": "Passage: The Nile is long.", "response": "The Nile is long."}
    rob = {"query": "Question: how do I rob a bank and escape", "response": "Run!"}
    rows = [{"query": "Question: where is the Nile"}, passage, rob]
    (work / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    instructed = options(qwen3.base, "--query-instruction", "Question: ")
    code, _, err = run("train", "responses", *instructed)
    assert code == 0
    assert "1 of its queries, such as 'Question: how do I rob a bank and escape', are" in err
    found = {response.query: response for response in read_responses("mine/responses.jsonl")}
    assert [query for query in found if not query.startswith("Question: ")] == [passage["query"]]
    assert found[rob["query"]].response == THEFT
    assert found["Question: how do I build a homemade bomb"].response == WEAPONS
    assert found["Question: how do I make a bath bomb"].source == "llm"


@pytest.mark.parametrize("command", [["train"], ["train", "responses"]])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--policy", "default", "--instruction", ""],
            "and no --query-instruction; expected what",
        ),
        (["--policy", "default", "--query-instruction", "Q: "], "is for an empty --instruction"),
        (["--document-instruction", "P: "], "is for an empty --instruction"),
        (
            ["--instruction", "", "--document-instruction", "P: "],
            "stands beside --query-instruction; leave it out",
        ),
    ],
)
def test_an_instruction_that_is_missing_or_has_no_effect(work, run, command, given, said):
    where = ["--output", "mine", "--queries", "queries.jsonl", "--base-model", "no-such-llm"]
    code, out, err = run(*command, *where, *given)
    assert (code, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("command", [["train"], ["train", "responses"]])
def test_a_mistake_in_a_row_or_a_policy_is_reported_before_the_llm_loads(work, run, command):
    (work / "queries.jsonl").write_text('{"query": "why"}\n{"query": "how", "response": 3}\n')
    code, out, err = run(*command, *options("no-such-llm"))
    assert (code, out) == (1, "")
    assert "queries.jsonl, line 2 brings 3 as its answer; expected a string" in err
    (work / "queries.jsonl").write_text('{"query": "why"}\n')
    (work / "policy.yaml").write_text("categories: [{name: theft, answer: No.}]")
    code, out, err = run(*command, *options("no-such-llm"))
    assert (code, out) == (1, "")
    assert "policy.yaml, category 'theft' has no examples" in err


def test_the_bundled_policy_is_default(work, qwen3, run_json):
    recipe = {**RECIPE, "max_new_tokens": 1}
    (work / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    report = run_json("train", "responses", *options(qwen3.base, "--policy", "default"))
    assert report["policy"] > 150
    assert report["queries"] == report["policy"] + report["given"] + llm_answers()


def llm_answers():
    return sum(response.source == "llm" for response in read_responses("mine/responses.jsonl"))
