"""A stopped run, whatever stopped it, resumes and ends with the weights of one that was not."""

from __future__ import annotations

import dataclasses
import random
import shutil

import pytest
import torch
from child_processes import in_process, killed_when
from fit_process import fit_into
from full_disk import no_file_above
from training_runs import (
    ANSWERS,
    QUESTIONS,
    RECIPE,
    StopError,
    count_steps,
    stop_in_step,
    teacher_of,
)

from llm2vec_gen_rag import LLM2VecGen, NonFiniteError
from llm2vec_gen_rag.backbone.laid_out import LaidOutLinear
from llm2vec_gen_rag.backbone.laying_out import lay_out
from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.stage import fit

pytestmark = pytest.mark.usefixtures("undrawn")

RUN = dataclasses.replace(RECIPE, steps=12, save_steps=4, logging_steps=3)


def trained(load_kit, folder, recipe=RUN, answers=ANSWERS, stop=None):
    """Train a model; return its fingerprint, or None if the run is stopped in a step."""
    model = load_kit("qwen3-10")
    if stop is not None:
        stop_in_step(model, stop)
    try:
        fit(model, QUESTIONS, answers, teacher_of(model), recipe, folder)
    except StopError:
        return None
    return model.fingerprint


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(load_kit, whole_folder):
    """The fingerprint that a run comes to which nothing stops."""
    return trained(load_kit, whole_folder)


@pytest.fixture(scope="module")
def stopped_folder(load_kit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    assert trained(load_kit, folder, stop=6) is None
    return folder


@pytest.fixture
def cut(stopped_folder, tmp_path):
    """A copy of a folder whose run was stopped in its sixth step."""
    return shutil.copytree(stopped_folder, tmp_path / "cut")


def checkpoints_in(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_killed_run_ends_in_the_weights_of_one_that_was_not(tmp_path):
    recipe = dataclasses.replace(RUN, steps=60, save_steps=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    last_seen = killed / "checkpoints" / f"checkpoint-{2 * random.Random(7).randrange(3, 20)}"
    killed_when(last_seen.exists, fit_into, killed, recipe, {})
    assert not (killed / "run_config.yml").exists()

    steps, fingerprint = in_process(fit_into, killed, recipe, {})
    assert 0 < steps <= 60 - int(last_seen.name.rpartition("-")[2])
    assert in_process(fit_into, whole, recipe, {}) == (60, fingerprint)


@pytest.mark.parametrize("stop", [2, 5, 9, 11])
def test_a_stopped_run_resumes_from_its_last_training_checkpoint(load_kit, whole, tmp_path, stop):
    assert trained(load_kit, tmp_path / "cut", stop=stop) is None
    model = load_kit("qwen3-10")
    steps = count_steps(model)
    result = fit(model, QUESTIONS, ANSWERS, teacher_of(model), RUN, tmp_path / "cut")
    assert model.fingerprint == whole
    assert len(steps) == 12 - 4 * ((stop - 1) // 4)
    assert [entry["step"] for entry in result.log] == [1, 3, 6, 9, 12]


def test_a_finished_run_leaves_no_training_checkpoint(whole, whole_folder):
    assert whole is not None
    assert not (whole_folder / "checkpoints").exists()


def test_a_run_may_resume_with_smaller_micro_batches(load_kit, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_arguments, "cpu_has_bfloat16", lambda: False)
    trained(load_kit, tmp_path / "whole")
    trained(load_kit, tmp_path / "cut", stop=6)
    parts = dataclasses.replace(RUN, accumulation=2, gradient_checkpointing=True, save_steps=3)
    trained(load_kit, tmp_path / "cut", parts)
    whole, cut = (
        LLM2VecGen.from_pretrained(
            tmp_path / name,
            base_model=load_kit("qwen3-10").backbone.config.name_or_path,
            device="cpu",
        )
        for name in ("whole", "cut")
    )
    torch.testing.assert_close(cut.alignment.weight, whole.alignment.weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": dataclasses.replace(RUN, learning_rate=2e-2)}, "learning_rate 0.01"),
        ({"recipe": dataclasses.replace(RUN, steps=20)}, "steps 12"),
        ({"answers": ["No.", *ANSWERS[1:]]}, "with responses and vectors"),
    ],
)
def test_the_training_checkpoint_of_another_run_is_refused(load_kit, whole, cut, change, named):
    with pytest.raises(ValueError, match=named) as refusal:
        trained(load_kit, cut, **change)
    assert "checkpoint-4" in str(refusal.value)
    assert trained(load_kit, cut) == whole


def test_a_run_without_a_training_checkpoint_does_not_stop_another(load_kit, tmp_path):
    trained(load_kit, tmp_path, stop=2)
    other = dataclasses.replace(RUN, learning_rate=2e-2)
    assert trained(load_kit, tmp_path, other) == trained(load_kit, tmp_path / "new", other)


def test_a_full_disk_leaves_the_last_training_checkpoint(load_kit, whole, cut):
    with no_file_above(8192), pytest.raises(StorageError, match=r"step 8 .* cannot be written"):
        trained(load_kit, cut)
    assert checkpoints_in(cut) == ["checkpoint-4", "run.json"]
    assert trained(load_kit, cut) == whole


def test_a_disk_that_is_full_at_the_end_costs_no_step(load_kit, whole, tmp_path):
    (tmp_path / "reconstruction_mlp").mkdir()  # where a file is to go
    with pytest.raises(StorageError, match=r"the trained model in .* cannot be written"):
        trained(load_kit, tmp_path)
    assert checkpoints_in(tmp_path) == ["checkpoint-12", "run.json"]
    (tmp_path / "reconstruction_mlp").rmdir()
    model = load_kit("qwen3-10")
    steps = count_steps(model)
    fit(model, QUESTIONS, ANSWERS, teacher_of(model), RUN, tmp_path)
    assert steps == []
    assert model.fingerprint == whole


def test_a_folder_that_cannot_be_made_is_reported_before_the_first_step(load_kit, tmp_path):
    (tmp_path / "file").touch()
    model = load_kit("qwen3-10")
    steps = count_steps(model)
    with pytest.raises(StorageError, match=r"file/out.* cannot be written"):
        fit(model, QUESTIONS, ANSWERS, teacher_of(model), RUN, tmp_path / "file" / "out")
    assert steps == []


def test_what_a_kill_left_half_written_is_no_training_checkpoint(load_kit, whole, tmp_path):
    half = tmp_path / "checkpoints" / "writing" / "checkpoint-8"
    half.mkdir(parents=True)
    (half / "trainer_state.json").write_text("{")
    assert trained(load_kit, tmp_path) == whole


def test_weights_that_are_not_finite_are_never_a_training_checkpoint(load_kit, tmp_path):
    model = load_kit("qwen3-10")
    recipe = dataclasses.replace(RUN, steps=4, save_steps=2, logging_steps=4, warmup_steps=0)
    steps = []

    def damage(*_):
        steps.append(1)
        if len(steps) == 2:
            model.reconstruction.bias.data[0] = float("nan")

    model.alignment.register_forward_hook(damage)
    with pytest.raises(NonFiniteError, match="after step 2"):
        fit(model, QUESTIONS, ANSWERS, teacher_of(model), recipe, tmp_path)
    assert checkpoints_in(tmp_path) == ["run.json"]


def test_a_run_on_an_llm_that_is_laid_out_ends_as_the_others(
    load_kit, whole, tmp_path, always_laid_out
):
    model = load_kit("qwen3-10")
    lay_out(model.backbone)
    assert isinstance(model.backbone.base_model.layers[0].mlp.up_proj, LaidOutLinear)
    fit(model, QUESTIONS, ANSWERS, teacher_of(model), RUN, tmp_path)
    assert model.fingerprint == whole
