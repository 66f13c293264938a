"""A folder of a training run that is damaged, or that another run writes to, is named as such."""

from __future__ import annotations

import dataclasses

import pytest
from training_runs import ANSWERS, QUESTIONS, RECIPE, StopError, stop_in_step, teacher_of

from llm2vec_gen_rag.errors import CheckpointError, StorageError
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.folder_lock import written_by_one
from llm2vec_gen_rag.training.run_folder import answering

RUN = dataclasses.replace(RECIPE, steps=6, save_steps=4, logging_steps=3)


def train(model, folder):
    return fit(model, QUESTIONS, ANSWERS, teacher_of(model), RUN, folder)


@pytest.fixture
def stopped(load_kit, tmp_path):
    """The last training checkpoint of a run that was stopped."""
    model = load_kit("qwen3-10")
    stop_in_step(model, 6)
    with pytest.raises(StopError):
        train(model, tmp_path)
    return tmp_path / "checkpoints" / "checkpoint-4"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"]


def test_a_damaged_training_checkpoint_is_not_resumed_from(stopped, load_kit):
    whole = {path.name: path.read_bytes() for path in stopped.iterdir()}
    damages = [(name, harm) for name in [*FILES, "rng_state.pth"] for harm in (cut,)]
    damages += [(name, lambda path: path.unlink()) for name in FILES]
    damages += [("optimizer.pt", flip), ("optimizer.pt", lambda path: path.write_bytes(b""))]
    model = load_kit("qwen3-10")
    for name, harm in damages:
        harm(stopped / name)
        with pytest.raises(CheckpointError, match=rf"{name} is damaged .*to begin anew") as caught:
            train(model, stopped.parents[1])
        assert "space" not in str(caught.value)
        (stopped / name).write_bytes(whole[name])
    assert train(model, stopped.parents[1]).log[-1]["step"] == 6


def test_a_training_checkpoint_of_an_unknown_run_is_not_resumed_from(stopped, load_kit):
    (stopped.parent / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"run\.json is missing.*begin anew"):
        train(load_kit("qwen3-10"), stopped.parents[1])


def test_two_runs_in_one_folder_take_turns(load_kit, tmp_path):
    model = load_kit("qwen3-10")
    with written_by_one(tmp_path, "the other run"):
        with pytest.raises(StorageError, match="another training run is writing to") as caught:
            train(model, tmp_path)
        caught.match("choose another folder")
        assert "space" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    train(model, tmp_path)


def test_two_processes_that_answer_the_same_queries_take_turns(tmp_path):
    with answering(tmp_path, ["a"], None):
        with (
            pytest.raises(StorageError, match="another process is writing to"),
            answering(tmp_path, ["a"], None),
        ):
            pass
        assert (tmp_path / "responses.unfinished").exists()
    with answering(tmp_path, ["a"], None):
        pass
    assert not (tmp_path / "responses.unfinished").exists()


def test_a_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), written_by_one(tmp_path, "another"):
        raise KeyError
    with written_by_one(tmp_path, "another"):
        pass
    assert list(tmp_path.iterdir()) == []
