"""A run that is killed outright: at most one batch is lost, and nothing is answered twice."""

from __future__ import annotations

import slow_responses
from child_processes import killed_when
from reference_kits import ReferenceKit

from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.local import write_responses

QUERIES = [f"question number {number} about bears" for number in range(48)]
HOW = {"max_new_tokens": 8, "batch_size": 4, "decoding": "sampled"}


def write(path):
    model = ReferenceKit("qwen3-10").load()
    model.backbone.generation_config.do_sample = True
    write_responses(model.backbone, model.tokenizer, QUERIES, path, **HOW)


def write_slowly(path):
    slow_responses.write_slowly()
    write(path)


def test_a_killed_run_repeats_nothing_and_ends_in_the_same_file(tmp_path):
    path, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"

    def due():
        return path.exists() and path.read_bytes().count(b"\n") >= 12

    killed_when(due, write_slowly, path)
    kept = path.read_bytes().rpartition(b"\n")[0] + b"\n"
    assert 12 <= kept.count(b"\n") < len(QUERIES)

    write(path)
    write(whole)
    assert path.read_bytes() == whole.read_bytes()
    assert path.read_bytes().startswith(kept)
    assert len({response.query for response in read_responses(path)}) == len(QUERIES)
