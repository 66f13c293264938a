"""The same call after the end of a run: nothing is done, and no other run writes over it."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from training_runs import (
    ANSWERS,
    QUESTIONS,
    RECIPE,
    StopError,
    count_steps,
    stop_in_step,
    teacher_of,
)

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.training.fit.stage import fit

pytestmark = pytest.mark.usefixtures("undrawn")

RUN = dataclasses.replace(RECIPE, steps=4, save_steps=2, logging_steps=2)


def fitted(model, folder, recipe=RUN, answers=ANSWERS, **untrained):
    return fit(model, QUESTIONS, answers, teacher_of(model), recipe, folder, **untrained)


@pytest.fixture(scope="module")
def finished_folder(load_kit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    fitted(load_kit("qwen3-10"), folder)
    return folder


@pytest.fixture
def finished(finished_folder, tmp_path):
    """A copy of the folder of a finished run."""
    return shutil.copytree(finished_folder, tmp_path, dirs_exist_ok=True)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_found_and_not_run_again(load_kit, tmp_path):
    first, again = load_kit("qwen3-10"), load_kit("qwen3-10")
    trained = fitted(first, tmp_path)
    written, steps = files_of(tmp_path), count_steps(again)
    found = fitted(again, tmp_path)
    assert (steps, files_of(tmp_path)) == ([], written)
    assert (trained.found, found.found) == (False, True)
    assert found.log == trained.log
    assert found.alignment == trained.alignment
    assert again.fingerprint == first.fingerprint


def test_a_finished_run_with_lora_is_found(load_kit, tmp_path):
    recipe = dataclasses.replace(RUN, lora_rank=4, response_tokens=10)
    first, again = load_kit("qwen3-10-lora"), load_kit("qwen3-10-lora")
    fitted(first, tmp_path, recipe)
    assert fitted(again, tmp_path, recipe).found
    assert again.fingerprint == first.fingerprint


def test_how_a_step_is_cut_and_logged_makes_no_other_run(load_kit, finished):
    other = dataclasses.replace(RUN, accumulation=2, save_steps=1, base_model="moved/elsewhere")
    assert fitted(load_kit("qwen3-10"), finished, other).found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": dataclasses.replace(RUN, learning_rate=2e-2)}, "learning_rate 0.01, and this"),
        ({"recipe": dataclasses.replace(RUN, seed=7)}, "seed 42, and this one is with 7"),
        ({"answers": ["No.", *ANSWERS[1:]]}, "responses and vectors"),
    ],
)
def test_another_run_does_not_overwrite_a_finished_one(load_kit, finished, change, named):
    written = files_of(finished)
    with pytest.raises(ValueError, match=f"holds the finished model of a run with {named}"):
        fitted(load_kit("qwen3-10"), finished, **change)
    assert files_of(finished) == written


def test_a_finished_model_that_is_damaged_is_reported(load_kit, finished):
    (finished / "encoder" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        fitted(load_kit("qwen3-10"), finished)


def test_training_checkpoints_that_a_kill_left_after_the_end_are_deleted(load_kit, finished):
    (finished / "checkpoints" / "checkpoint-4").mkdir(parents=True)
    assert fitted(load_kit("qwen3-10"), finished).found
    assert not (finished / "checkpoints").exists()


def stopped(load_kit, folder, **untrained):
    model = load_kit("qwen3-10")
    stop_in_step(model, 4)
    with pytest.raises(StopError):
        fitted(model, folder, **untrained)


def other_last_bits(load_kit):
    """A model as another number of threads would have computed it."""
    model = load_kit("qwen3-10")
    with torch.no_grad():
        model.alignment.weight.mul_(1 + 1e-6)
    return model


def test_a_run_resumes_if_untrained_weights_differ_in_their_last_bits(load_kit, tmp_path):
    whole = load_kit("qwen3-10")
    fitted(whole, tmp_path / "whole", untrained="the LLM")
    stopped(load_kit, tmp_path / "cut", untrained="the LLM")
    resumed, again = other_last_bits(load_kit), other_last_bits(load_kit)
    fitted(resumed, tmp_path / "cut", untrained="the LLM")
    assert resumed.fingerprint == whole.fingerprint
    assert fitted(again, tmp_path / "cut", untrained="the LLM").found


def test_other_untrained_weights_are_another_run(load_kit, tmp_path):
    stopped(load_kit, tmp_path / "named", untrained="the LLM")
    with pytest.raises(ValueError, match="untrained weights 'the LLM', and this one is with 'a"):
        fitted(load_kit("qwen3-10"), tmp_path / "named", untrained="another")
    stopped(load_kit, tmp_path / "hashed")
    with pytest.raises(ValueError, match="with untrained weights"):
        fitted(other_last_bits(load_kit), tmp_path / "hashed")


def test_heads_start_by_least_squares_once_and_not_when_a_run_resumes(load_kit, tmp_path):
    recipe = dataclasses.replace(RUN, least_squares_rows=4)
    whole, plain = load_kit("qwen3-10"), load_kit("qwen3-10")
    started = fitted(whole, tmp_path / "whole", recipe)
    assert started.log[0]["alignment"] < 0.5 * fitted(plain, tmp_path / "plain").log[0]["alignment"]
    stopping = load_kit("qwen3-10")
    stop_in_step(stopping, 4)
    with pytest.raises(StopError):
        fitted(stopping, tmp_path / "cut", recipe)
    resumed = load_kit("qwen3-10")
    fitted(resumed, tmp_path / "cut", recipe)
    assert resumed.fingerprint == whole.fingerprint
