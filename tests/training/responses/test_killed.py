"""A run that is killed outright: at most one batch is lost, and nothing is answered twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tiny_kit import load_tiny

from llm2vec_gen_rag.training.responses.file import read_responses
from llm2vec_gen_rag.training.responses.local import write_responses

QUERIES = [f"question number {number} about bears" for number in range(48)]
HOW = {"max_new_tokens": 8, "batch_size": 4, "decoding": "sampled"}
PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[2])
import test_killed as killed
from llm2vec_gen_rag.training.responses import local

append = local.append_responses
def slowly(path, batch):
    append(path, batch)
    time.sleep(0.05)
local.append_responses = slowly
killed.write(sys.argv[1])
"""


def write(path):
    model = load_tiny()
    model.backbone.generation_config.do_sample = True
    write_responses(model.backbone, model.tokenizer, QUERIES, path, **HOW)


def test_a_killed_run_repeats_nothing_and_ends_in_the_same_file(tmp_path):
    path, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    tests = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": tests},
        cwd=Path(__file__).parents[3],
    )
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= 12):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = path.read_bytes().rpartition(b"\n")[0] + b"\n"
    assert 12 <= kept.count(b"\n") < len(QUERIES)

    write(path)
    write(whole)
    assert path.read_bytes() == whole.read_bytes()
    assert path.read_bytes().startswith(kept)
    assert len({response.query for response in read_responses(path)}) == len(QUERIES)
