"""Several processes, each with a copy of the model, take the steps that one would take."""

from __future__ import annotations

import dataclasses
import json
import socket
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from child_processes import FORKED
from fit_process import fit_into
from training_runs import ANSWERS, QUESTIONS, RECIPE, teacher_of

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone.device import pick_device
from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.batches import PlannedBatches
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.objective import tokenize_pairs


@pytest.fixture
def ranks(socket_enabled):
    """What torchrun and `accelerate launch` tell each of two processes of the other."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]


def test_two_processes_are_one_with_the_double_batch(load_kit, ranks, tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, steps=6, accumulation=2, save_steps=4, logging_steps=1)
    with ProcessPoolExecutor(2, mp_context=FORKED) as processes:
        runs = [processes.submit(fit_into, tmp_path / "two", recipe, rank) for rank in ranks]
        assert [run.result()[0] for run in runs] == [12, 12]  # of 24 parts

    monkeypatch.setattr(trainer_arguments, "cpu_has_bfloat16", lambda: False)
    one = load_kit("qwen3-10")
    whole = dataclasses.replace(recipe, accumulation=1)
    result = fit(one, QUESTIONS, ANSWERS, teacher_of(one), whole, tmp_path / "one")
    base = one.backbone.config.name_or_path
    two = LLM2VecGen.from_pretrained(tmp_path / "two", base_model=base, device="cpu")
    torch.testing.assert_close(two.response_tokens, one.response_tokens, rtol=0, atol=1e-4)
    torch.testing.assert_close(two.alignment.weight, one.alignment.weight, rtol=0, atol=1e-4)
    log = json.loads((tmp_path / "two" / "training_log.json").read_text())["log"]
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 5, 6]
    for found, expected in zip(log, result.log, strict=True):
        for loss in ("reconstruction", "alignment"):
            assert found[loss] == pytest.approx(expected[loss], rel=1e-4)


def test_a_step_that_processes_cannot_share_is_refused(model):
    pairs = tokenize_pairs(model, QUESTIONS, ANSWERS, max_length=64)
    with pytest.raises(ValueError, match="batch_size 4 cannot be cut into 3 processes"):
        PlannedBatches(pairs, teacher_of(model), RECIPE, processes=3)


def test_a_launched_process_uses_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device(None) == pick_device("cuda") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
    assert pick_device("cpu") == torch.device("cpu")
