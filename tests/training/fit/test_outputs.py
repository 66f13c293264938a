"""What a run leaves beside the model: its card, its curves, and what TensorBoard reads."""

from __future__ import annotations

import dataclasses
import logging
import struct

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import ANSWERS, QUESTIONS, RECIPE, teacher_of

from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.curves import draw_curves
from llm2vec_gen_rag.training.fit.stage import fit

FEW = dataclasses.replace(RECIPE, steps=4, logging_steps=1)


@pytest.fixture
def run(fresh_model):
    def train(recipe, folder):
        return fit(fresh_model, QUESTIONS, ANSWERS, teacher_of(fresh_model), recipe, folder)

    return train


def test_the_card_says_what_the_model_is_and_its_losses(run, tmp_path, fresh_model):
    recipe = dataclasses.replace(FEW, max_length=16)
    result = run(recipe, tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "# mine\n" in card
    assert str(tmp_path) not in card
    assert "| base model | base, frozen |" in card
    assert f"| teacher | tfidf-svd, vectors of {fresh_model.dimension} |" in card
    assert "| data | 4 questions with the LLM's own answers" in card
    assert "| steps | 4 of 4 pairs |" in card
    assert f"{result.reconstruction:.4g} at last" in card
    assert f"{result.log[0]['alignment']:.4g} at first" in card
    parameters = sum(
        weight.numel()
        for part in (fresh_model.reconstruction, fresh_model.alignment)
        for weight in part.parameters()
    )
    assert f"{parameters + fresh_model.response_tokens.numel():,} parameters" in card
    recipe_in_card = card.partition("```yaml\n")[2].partition("```")[0]
    assert Recipe(**yaml.safe_load(recipe_in_card)) == recipe
    front_matter = yaml.safe_load(card.split("---\n")[1])
    assert "llm2vec-gen" in front_matter["tags"]


def test_the_card_counts_what_reaches_the_limit(run, tmp_path, fresh_model):
    lengths = [len(ids) + 1 for ids in fresh_model.text_tokenizer.token_ids(ANSWERS)]
    run(dataclasses.replace(FEW, max_length=max(lengths)), tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"{lengths.count(max(lengths)) / 4:.1%} of the answers" in card


def test_the_code_in_the_card_runs(run, tmp_path, capsys):
    run(FEW, tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    code = card.partition("```python\n")[2].partition("```")[0]
    exec(code.replace("path/to/mine", str(tmp_path / "mine")), {})
    assert capsys.readouterr().out.startswith("[[")


def test_the_curves_are_an_image_of_some_size(run, tmp_path):
    run(FEW, tmp_path)
    picture = (tmp_path / "loss_curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 600 < height * 2


def test_a_loss_of_zero_is_drawn(tmp_path):
    log = [{"step": 1, "reconstruction": 1.0, "alignment": 0.0, "learning_rate": 0.1}]
    draw_curves(log, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_tensorboard_gets_both_losses(run, tmp_path):
    result = run(dataclasses.replace(FEW, report_to="tensorboard"), tmp_path)
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    assert events.relative_to(tmp_path).parts[0] == "runs"
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    for loss in ("reconstruction", "alignment"):
        values = [event.value for event in accumulator.Scalars(f"train/{loss}")]
        assert values == pytest.approx([entry[loss] for entry in result.log])


def test_a_log_that_cannot_be_written_is_reported(run, tmp_path):
    (tmp_path / "runs").touch()  # where TensorBoard's folder is to go
    with pytest.raises(StorageError, match=r"the log of the run in .* cannot be written"):
        run(dataclasses.replace(FEW, report_to="tensorboard"), tmp_path)


def test_without_tensorboard_a_run_says_where_its_losses_are(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(trainer_arguments, "find_spec", lambda _: None)
    with caplog.at_level(logging.WARNING):
        run(dataclasses.replace(FEW, report_to="tensorboard"), tmp_path)
    assert "training_log.json and loss_curves.png alone" in caplog.text
    assert not list(tmp_path.rglob("events*"))


def test_wandb_that_is_not_installed_is_reported_before_training(run, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_arguments, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install wandb"):
        run(dataclasses.replace(FEW, report_to="wandb"), tmp_path)
