"""What commands print of names and values: nothing a terminal would obey, and valid JSON."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from retrieval_folder import write_folder

from llm2vec_gen_rag.commands import evaluate
from llm2vec_gen_rag.commands.output import finite, print_json
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

ESCAPE = "\x1b]0;owned\x07\x1b[31m\u202e"
RECIPE = """\
{teacher: tfidf-svd, teacher_dimension: 4, response_tokens: 3, compression_tokens: 2, steps: 2,
least_squares_rows: 20, warmup_steps: 0, batch_size: 2, max_new_tokens: 3, max_length: 32}
"""


@pytest.fixture
def obeyed(run):
    """Run a command; what it prints that a terminal would obey, and its exit code."""

    def run_main(*argv):
        code, out, err = run(*argv)
        assert "owned" in out + err, "the name was not printed"
        return {c for c in out + err if not (c.isprintable() or c == "\n")}, code

    return run_main


@pytest.fixture
def place(tmp_path, qwen3):
    """A folder with such a name, with texts, a recipe, a checkpoint and an LLM of such names."""
    folder = tmp_path / ESCAPE
    folder.mkdir()
    (folder / "texts.txt").write_text("".join(f"where does bear {n} live\n" for n in range(20)))
    (folder / "tiny.yaml").write_text(RECIPE)
    shutil.copytree(qwen3.checkpoint, folder / "model")
    return folder


def test_embed_prints_names_quoted(obeyed, place, model_options):
    options = ["--output", place / f"{ESCAPE}.npy", *model_options]
    assert obeyed("embed", place / "texts.txt", *options) == (set(), 0)
    assert np.load(place / f"{ESCAPE}.npy").shape[0] == 20
    assert obeyed("embed", place / "nowhere.txt", *options) == (set(), 1)
    (place / "bytes.txt").write_bytes(b"\xff")
    assert obeyed("embed", place / "bytes.txt", *options) == (set(), 1)
    assert obeyed("embed", place / "texts.txt", "--output", place / "x") == (set(), 1)
    assert obeyed("embed", place / "texts.txt", "--json", "--model", place / "x") == (set(), 1)


def test_train_prints_names_quoted(obeyed, place, qwen3):
    queries = ["--queries", place / "texts.txt"]
    run_options = ["--output", place / "mine", "--recipe", place / "tiny.yaml"]
    llm = ["--base-model", qwen3.base, "--device", "cpu", "--dtype", "float32"]
    (place / "texts.txt").open("a").write("\n")  # reported as skipped
    for stage in (["responses", *queries], ["teach"], ["fit"], ["fit"]):
        options = llm if stage != ["teach"] else []
        assert obeyed("train", *stage, *run_options, *options) == (set(), 0)
    for wrong in (
        ["train", "teach", "--output", place / "nowhere"],
        ["train", "fit", "--output", place / "mine", "--recipe", place / "nowhere.yaml"],
        ["train", *queries, *run_options, "--base-model", place / "nowhere"],
        ["train", "--queries", place / "nowhere.txt", *run_options, *llm],
    ):
        assert obeyed(*wrong) == (set(), 1)


def test_search_and_explain_print_names_quoted(run, obeyed, place, model, model_options):
    options = ["--store", place / "store", *model_options]
    with DocumentCollection.open(place / "store", "documents", model) as collection:
        assert obeyed("explain", "x", *options)[0] == set()
        collection.index([Document(f"text {ESCAPE}", id=f"id {ESCAPE}")])
    for command in (["search", "x"], ["search", ESCAPE, "--hybrid"], ["explain", ESCAPE]):
        assert obeyed(*command, *options) == (set(), 0)
    for command in ("search", "explain"):
        assert obeyed(command, "x", "--store", place / "nowhere") == (set(), 1)
        named = ["--collection", ESCAPE, *options]
        assert obeyed(command, "x", *named) == (set(), 1)


def test_eval_prints_names_quoted(run, obeyed, place, qwen3, monkeypatch):
    model = ["--model", place / "model", "--base-model", qwen3.base, "--dtype", "float32"]
    assert obeyed("eval", "advbench-ir", "--data", place / "nowhere", *model) == (set(), 1)
    assert obeyed("eval", "advbench-ir", "--data", "x", "--json", place / "a" / "b") == (set(), 1)
    pytest.importorskip("mteb", reason="the extra eval brings it")
    folder = write_folder(place / "tiny")
    assert obeyed("eval", "beir", folder, *model) == (set(), 0)

    class Report:
        def as_text(self) -> str:
            return f"| {place} |\n| owned |"

    monkeypatch.setattr(evaluate, "load_model", lambda arguments: None)
    monkeypatch.setattr("llm2vec_gen_rag.evaluation.almanac.evaluate", lambda *a, **o: Report())
    assert obeyed("eval") == (set(), 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_is_no_number_is_null(capsys, value):
    printed = {"a": [value, {"b": value}], "NaN": "NaN", "c": 0.1, "d": 2**60}
    for indent in (2, None):
        print_json(printed, indent)
        out = capsys.readouterr().out
        assert json.loads(out, parse_constant=pytest.fail)["a"] == [None, {"b": None}]
    assert finite(printed) == {"a": [None, {"b": None}], "NaN": "NaN", "c": 0.1, "d": 2**60}


def test_search_prints_valid_json_of_whatever_another_client_wrote(
    run, tmp_path, model, model_options
):
    DocumentCollection.open(tmp_path / "store", "documents", model).close()
    payload = {"page_content": "text", "metadata": {"score": math.nan}}
    client = QdrantClient(path=str(tmp_path / "store"))
    vector = model.encode_document("text").tolist()
    client.upsert("documents", [models.PointStruct(id=1, vector=vector, payload=payload)])
    client.close()
    code, out, err = run("search", "x", "--json", "--store", tmp_path / "store", *model_options)
    assert code == 0, err
    (hit,) = json.loads(out, parse_constant=pytest.fail)["hits"]
    assert hit["metadata"] == {"score": None}
