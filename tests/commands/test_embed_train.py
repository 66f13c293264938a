"""Texts to vectors, and queries to a model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen


def test_embed_writes_the_vectors_of_the_documents(run, tmp_path, model_options, model):
    (tmp_path / "texts.txt").write_bytes("\ufeffone\r\n\r\nthé ☃\n".encode())
    output = tmp_path / "vectors.npy"
    code, out, _ = run("embed", tmp_path / "texts.txt", "--output", output, *model_options)
    vectors = np.load(output, allow_pickle=False)
    assert (code, out) == (0, f"3 x {model.dimension} float32, written to {output}\n")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(
        vectors, model.encode_document(["one", "", "thé ☃"]), rtol=0, atol=1e-6
    )


def test_embed_reads_queries_from_the_input(run, stdin, model_options, model):
    stdin("wer schrieb\u2028Hamlet\nzwei".encode())
    code, out, err = run("embed", "-", "--side", "query", "--json", *model_options)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, f"2 x {model.dimension} float32\n")
    assert [row["text"] for row in rows] == ["wer schrieb\u2028Hamlet", "zwei"]
    expected = model.encode_query([row["text"] for row in rows])
    np.testing.assert_allclose([row["vector"] for row in rows], expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("forked_workers")
def test_embed_on_several_devices_writes_the_same_vectors(run, tmp_path, model_options, model):
    texts = ["one", "two and more of it", "three"]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    output = tmp_path / "vectors.npy"
    named = ("--output", output, *model_options, "--devices", "cpu", "cpu")
    code, out, _ = run("embed", tmp_path / "texts.txt", *named)
    assert (code, out) == (0, f"3 x {model.dimension} float32, written to {output}\n")
    np.testing.assert_allclose(np.load(output), model.encode_document(texts), rtol=0, atol=1e-5)


def test_train_writes_a_model_that_remembers_its_instruction(run_json, qwen3, tmp_path):
    (tmp_path / "queries.txt").write_text("where do bears live\n\nwhy\nwhy\nhow\n")
    (tmp_path / "tiny.yaml").write_text(
        "{teacher: backbone-mean, steps: 2, warmup_steps: 0, batch_size: 2, response_tokens: 3,"
        " compression_tokens: 2, max_new_tokens: 3, max_length: 32, logging_steps: 1}"
    )
    report = run_json(
        *("train", "--base-model", qwen3.base, "--queries", tmp_path / "queries.txt"),
        *("--recipe", tmp_path / "tiny.yaml", "--output", tmp_path / "mine"),
        *("--instruction", "Answer: ", "--dtype", "float32", "--device", "cpu"),
    )
    assert (report["queries"], report["steps"]) == (3, 2)
    assert report["reconstruction"] > 0
    trained = LLM2VecGen.from_pretrained(report["model"], dtype="float32", device="cpu")
    assert (len(trained.response_tokens), trained.compression_tokens) == (3, 2)
    np.testing.assert_array_equal(
        trained.encode_query("why"), trained.encode("why", instruction="Answer: ")
    )
