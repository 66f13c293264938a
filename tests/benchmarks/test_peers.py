"""Other engines compute our vectors from the same weights; one that is missing is reported."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from tiny_shape import TEXTS, TINY
from transformers import AutoModelForCausalLM

from benchmarks.checkpoints import checkpoint_for
from benchmarks.peers.__main__ import measure, measure_decoding, read
from benchmarks.peers.engines import engines, start
from benchmarks.peers.gguf_file import write_gguf
from benchmarks.workers import ours
from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone

THREADS = 1


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(checkpoint_for(TINY, TEXTS, tmp_path_factory.mktemp("checkpoints")))


@pytest.fixture(scope="module")
def parts_and_sides(checkpoint):
    return read(checkpoint, replace(TINY, documents=6, queries=3), TEXTS)


@pytest.fixture(scope="module")
def listed(checkpoint, parts_and_sides):
    """Every engine by its name."""
    return {engine.name: engine for engine in engines(checkpoint, parts_and_sides[0])}


def test_an_engine_reads_what_ours_reads(parts_and_sides):
    _, sides = parts_and_sides
    assert [len(sides[name].texts) for name in ("documents", "queries")] == [2, 1]
    for side in sides.values():
        for row in side.rows:
            assert row[-TINY.response_tokens :] == list(range(400, 404))
            assert max(row[: -TINY.response_tokens]) < TINY.vocabulary


def test_a_missing_engine_is_left_out_with_its_reason(listed, capsys):
    gone = replace(listed["openvino"], python=Path("nowhere/python"))
    bare = replace(listed["llama.cpp Q8_0"], python=Path(sys.executable), needs="no_such_module")
    with ExitStack() as running:
        started, left_out = start([gone, bare], THREADS, running)
    assert started == []
    assert "benchmarks.peers.environment" in left_out["openvino"]
    assert left_out["llama.cpp Q8_0"] == "ModuleNotFoundError: No module named 'no_such_module'"
    printed = capsys.readouterr().err
    assert all(f"{name} is left out: {reason}" in printed for name, reason in left_out.items())


@pytest.mark.slow
def test_transformers_computes_our_vectors(checkpoint, parts_and_sides, listed):
    _, sides = parts_and_sides
    engine = listed["transformers"]
    broken = replace(engine, name="broken", load={**engine.load, "parts": "no_such_file"})
    with ExitStack() as running:
        our = running.enter_context(ours(THREADS))
        our.ask("load", checkpoint=checkpoint)
        started, left_out = start([engine, broken], THREADS, running)
        figures = measure(our, started, sides["documents"], rounds=1)
        decoding = measure_decoding(our, started, sides["queries"].rows[0][:5], rounds=1)
    assert "no_such_file" in left_out["broken"]
    assert set(figures["texts_per_second"]) == set(decoding["tokens_per_second"])
    assert set(figures["texts_per_second"]) == {"ours", "transformers"}
    assert figures["same_vectors"]["transformers"] > 0.9999
    assert figures["fastest_same_vectors"] == "transformers"
    assert figures["ratio_to"]["transformers"] == figures["ratio_to_fastest_same_vectors"]


@pytest.mark.parametrize("kit", ["llama-20-10", "qwen3-10"])
def test_a_gguf_file_has_the_weights_and_the_response_tokens(kit, tmp_path):
    base = ReferenceKit(kit).base
    lm = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokens = np.full((3, lm.config.hidden_size), 0.5, dtype=np.float32)
    write_gguf(tmp_path / "lm.gguf", base, tokens, "F32")
    options = BackboneOptions()
    found = load_backbone(str(tmp_path / "lm.gguf"), torch.device("cpu"), torch.float32, options)
    weights = dict(found.base_model.named_parameters())
    for name, weight in lm.base_model.named_parameters():
        read = weights[name][: len(weight)]
        assert torch.equal(read, weight), name
    assert torch.equal(weights["embed_tokens.weight"][-3:], torch.from_numpy(tokens))
