"""`train` and its stages: on one folder, stopped and resumed, and what each needs of the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from chat_server import Server
from child_processes import killed_when
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Document, VectorStoreIndex
from reference_kits import ReferenceKit

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.cli import build_parser, main
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.training.fit import trainer as loop
from llm2vec_gen_rag.training.responses.file import read_responses

DEVICE = ["--device", "cpu", "--dtype", "float32"]
QUERIES = [f"where does bear number {number} live" for number in range(60)]
RECIPE = """\
teacher: tfidf-svd
teacher_dimension: 4
response_tokens: 3
compression_tokens: 2
least_squares_rows: 20
steps: 40
warmup_steps: 2
batch_size: 4
save_steps: 2
max_new_tokens: 12
max_length: 32
report_to: none
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with queries and a small recipe, in which the commands are run."""
    lines = "".join(json.dumps({"question": query}) + "\n" for query in QUERIES)
    (tmp_path / "queries.jsonl").write_text(lines)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def respond(run_json, qwen3):
    """Run the first stage; what it reports."""

    def run_stage(*options, output="mine"):
        queries = ["--queries", "queries.jsonl", "--column", "question"]
        stage = ["train", "responses", *queries, "--output", output, "--recipe", "tiny.yaml"]
        return run_json(*stage, "--base-model", qwen3.base, *DEVICE, *options)

    return run_stage


def stage(name, output="mine"):
    return ["train", name, "--output", output, "--recipe", "tiny.yaml"]


def modified(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_killed_in_two_stages_resumed_and_loaded_in_both_frameworks(
    work, qwen3, run, run_json, respond, monkeypatch
):
    file, checkpoints = Path("mine/responses.jsonl"), Path("mine/model/checkpoints")
    queries = ["--queries", "queries.jsonl", "--column", "question", "--batch-size", "1"]
    killed_when(
        lambda: file.is_file() and file.read_bytes().count(b"\n") > 3,
        main,
        [*stage("responses"), "--base-model", str(qwen3.base), *DEVICE, *queries],
    )
    kept = [response.query for response in read_responses(file)]
    assert 3 < len(kept) < len(QUERIES)
    code, _, err = run(*stage("teach"))
    assert (code, "are unfinished" in err) == (1, True)
    assert respond()["queries"] == len(QUERIES)
    answered = [response.query for response in read_responses(file)]
    assert answered[: len(kept)] == kept
    assert sorted(answered) == sorted(QUERIES)

    assert run_json(*stage("teach"))["answers"] == len(QUERIES)
    shutil.copytree("mine", "whole")
    killed_when((checkpoints / "checkpoint-4").exists, main, [*stage("fit"), *DEVICE])
    assert not Path("mine/model/run_config.yml").exists()
    steps = []
    losses = loop.pair_losses
    monkeypatch.setattr(loop, "pair_losses", lambda *a, **k: steps.append(1) or losses(*a, **k))
    report = run_json(*stage("fit"), *DEVICE)
    assert 0 < len(steps) <= 36
    assert (report["queries"], report["steps"]) == (len(QUERIES), 40)
    run_json(*stage("fit", "whole"), *DEVICE)
    assert (
        len({LLM2VecGen.from_pretrained(f"{x}/model").fingerprint for x in ("mine", "whole")}) == 1
    )

    texts = ["Polar bears live in the Arctic.", "A cat sleeps."]
    found = InMemoryVectorStore(LLM2VecGenEmbeddings(model_name="mine/model"))
    found.add_texts(texts)
    documents = found.similarity_search("where do bears live", k=2)
    embedding = LLM2VecGenEmbedding(model_name="mine/model")
    index = VectorStoreIndex.from_documents(
        [Document(text=t) for t in texts], embed_model=embedding
    )
    nodes = index.as_retriever(similarity_top_k=2).retrieve("where do bears live")
    assert [document.page_content for document in documents] == [node.text for node in nodes]


def test_the_stages_one_by_one_make_what_train_makes(work, qwen3, respond, run_json):
    (work / "tiny.yaml").write_text(RECIPE.replace("steps: 40", "steps: 4"))
    queries = ["--queries", "queries.jsonl", "--column", "question", "--instruction", "Say: "]
    llm = ["--base-model", qwen3.base, *DEVICE]
    respond("--instruction", "Say: ", "--shard", "1/2", output="stages")
    respond("--instruction", "Say: ", "--shard", "2/2", output="stages")
    run_json(*stage("teach", "stages"))
    run_json(*stage("fit", "stages"), *DEVICE)
    run_json("train", "--output", "once", "--recipe", "tiny.yaml", *queries, *llm)
    stages, once = (LLM2VecGen.from_pretrained(f"{name}/model") for name in ("stages", "once"))
    assert stages.fingerprint == once.fingerprint
    assert stages.prompts.for_query("retrieval") == "Say: "


def test_a_training_that_is_finished_is_found_and_another_is_refused(
    work, qwen3, respond, run, run_json
):
    (work / "tiny.yaml").write_text(RECIPE.replace("steps: 40", "steps: 3"))
    respond("--instruction", "")
    run_json(*stage("teach"))
    first = run_json(*stage("fit"), *DEVICE)
    written = modified(Path("mine/model"))
    again = run_json(*stage("fit"), *DEVICE)
    assert (first.pop("trained"), again.pop("trained")) == (True, False)
    assert again == first | {"seconds": round(first["seconds"], 1)}
    code, out, _ = run(*stage("fit"), *DEVICE)
    assert code == 0
    assert out.startswith("mine/model holds the finished model of this very run: nothing to do")
    queries = ["--queries", "queries.jsonl", "--column", "question", "--instruction", ""]
    whole = ["train", *queries, "--output", "mine", "--recipe", "tiny.yaml"]
    assert not run_json(*whole, "--base-model", qwen3.base, *DEVICE)["trained"]
    (work / "tiny.yaml").write_text(RECIPE.replace("steps: 40", "steps: 4"))
    code, _, err = run(*stage("fit"), *DEVICE)
    assert code == 1
    assert "holds the finished model of a run with steps 3, and this one is with 4" in err
    assert modified(Path("mine/model")) == written


@pytest.mark.parametrize("name", ["teach", "fit"])
def test_a_stage_without_the_first_names_the_command(work, run, name):
    code, out, err = run(*stage(name, "nowhere"))
    assert (code, out) == (1, "")
    assert "train responses --queries FILE --output nowhere" in err


def test_each_stage_says_what_an_earlier_one_has_not_done(work, respond, run, run_json):
    def said(*argv):
        code, out, err = run(*argv)
        assert (code, out) == (1, "")
        return err

    respond("--shard", "2/2")
    assert "run `train responses` with --shard 1/2" in said(*stage("teach"))
    respond("--shard", "1/2")
    assert "run: llm2vec-gen-rag train teach --output mine" in said(*stage("fit"))
    run_json(*stage("teach"))
    Path("other.yaml").write_text("{teacher: tfidf-svd, teacher_dimension: 5}")
    other = ["train", "fit", "--output", "mine", "--recipe", "other.yaml"]
    assert "holds the vectors of 'tfidf-svd-4'" in said(*other)


def test_another_llm_is_not_trained_on_these_responses(work, qwen3, respond, run, run_json):
    respond()
    run_json(*stage("teach"))
    other = ReferenceKit("qwen2-6-4").base
    code, _, err = run(*stage("fit"), "--base-model", other, *DEVICE)
    assert code == 1
    assert "the responses were written by" in err
    assert "has other weights" in err


def test_a_refused_run_leaves_what_was_whole_as_it_was(work, qwen3, respond, run, run_json):
    respond()
    other = ReferenceKit("qwen2-6-4").base
    queries = ["--queries", "queries.jsonl", "--column", "question"]
    code, _, err = run(*stage("responses"), *queries, "--base-model", other, *DEVICE)
    assert (code, "was written by" in err) == (1, True)
    assert run_json(*stage("teach"))["answers"] == len(QUERIES)


def test_a_folder_that_cannot_be_made_is_reported(work, qwen3, run):
    Path("file").touch()
    queries = ["--queries", "queries.jsonl", "--column", "question"]
    llm = ["--base-model", qwen3.base, *DEVICE]
    code, _, err = run(*stage("responses", "file/mine"), *queries, *llm)
    assert code == 1
    assert "file/mine cannot be written (Not a directory)" in err


def test_launched_beside_others_only_fit_runs(work, respond, run, monkeypatch):
    respond()
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = run(*stage("teach"))
    assert code == 1
    assert "launched in 2 processes" in err


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_answers_instead_of_the_llm(work, qwen3, run, run_json, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MY_KEY", "sk-secret")
    (work / "tiny.yaml").write_text(RECIPE.replace("steps: 40", "steps: 3"))
    server = Server()
    options = ["--queries", "queries.jsonl", "--column", "question", "--instruction", ""]
    options += ["--endpoint", server.url, "--endpoint-model", "served", "--concurrency", "8"]
    options += ["--api-key-variable", "MY_KEY", "--thinking", "as-served", "--decoding", "sampled"]
    report = run_json(*stage("responses"), *options)
    server.close()
    assert (report["queries"], report["unfinished"]) == (len(QUERIES), 0)
    assert "chat_template_kwargs" not in server.payloads[0]
    assert "temperature" not in server.payloads[0]
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    run_json(*stage("teach"))
    code, _, err = run(*stage("fit"), *DEVICE)
    assert (code, "--base-model" in err) == (1, True)
    assert run_json(*stage("fit"), "--base-model", qwen3.base, *DEVICE)["steps"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--endpoint-model", "m"], "--endpoint-model belongs to --endpoint"),
        (["--concurrency", "3"], "--concurrency belongs to --endpoint"),
        (["--endpoint", "http://x/v1"], "--endpoint needs --endpoint-model"),
        (["--endpoint", "http://x/v1", "--dtype", "float32"], "--dtype belongs to a loaded LLM"),
        (["--endpoint", "x", "--endpoint-model", "m"], "'x' is not the URL of an endpoint"),
        (["--shard", "3/2"], "shard 3/2 does not exist"),
        (["--base-model", "b", "--column", "text"], "has no 'text'"),
        (
            ["--base-model", "b", "--column", "question", "--device", "cpu", "--dtype", "int8"],
            "in int8, which carries no gradient",
        ),
    ],
)
def test_options_that_do_not_go_together_are_reported(work, run, options, message):
    code, out, err = run(*stage("responses"), "--queries", "queries.jsonl", *options)
    assert (code, out) == (1, "")
    assert message in err


def test_what_a_teacher_would_not_read_is_refused(work, respond, run):
    respond()
    code, _, err = run(*stage("teach"), "--dtype", "float32")
    assert code == 1
    assert "--dtype is not read by the recipe's teacher, tfidf-svd" in err


def test_options_before_a_stage_are_refused(run):
    code, _, err = run("train", "--recipe", "almanac", "fit", "--output", "mine")
    assert code == 1
    assert "expected them after it: llm2vec-gen-rag train fit" in err


def test_skipped_lines_of_a_text_file_are_counted(work, qwen3, run):
    Path("q.txt").write_text("why\n\nwhy\nhow\n")
    options = ["--queries", "q.txt", "--base-model", qwen3.base, *DEVICE]
    code, out, err = run(*stage("responses"), *options)
    assert code == 0
    assert out.startswith("2 queries are answered, in mine/responses.jsonl")
    assert "q.txt: 2 queries; 2 lines are empty or repeat an earlier one" in err


@pytest.mark.parametrize("missing", ["--queries", "--output"])
def test_train_alone_requires_both_ends(missing, capsys):
    given = {"--queries": "q.txt", "--output": "mine", "--base-model": "b"}
    words = [word for item in given.items() if item[0] != missing for word in item]
    with pytest.raises(SystemExit) as exited:
        main(["train", *words])
    assert exited.value.code == 2
    assert f"required: {missing}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["responses", "teach", "fit"])
def test_the_examples_of_a_stage_are_taken_by_the_parser(name, capsys):
    with pytest.raises(SystemExit):
        main(["train", name, "--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2].replace("\\\n", "").split("\n")
    ours = [line.split() for line in examples if " train " in line]
    assert len(ours) >= 2
    for words in ours:
        assert build_parser().parse_args(words[words.index("train") :]).stage == name
    assert any("vllm serve" in line for line in examples) == (name == "responses")
