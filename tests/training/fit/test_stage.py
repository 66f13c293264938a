"""The loop: it learns, changes only what it may, and comes out the same however it is cut."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from training_runs import ANSWERS, QUESTIONS, RECIPE
from transformers import AutoTokenizer

from llm2vec_gen_rag import LLM2VecGen, NonFiniteError
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit import trainer_arguments
from llm2vec_gen_rag.training.fit.stage import fit
from llm2vec_gen_rag.training.objective import step_losses
from llm2vec_gen_rag.training.pipeline import train

pytestmark = pytest.mark.usefixtures("undrawn")

FEW = dataclasses.replace(RECIPE, steps=4, logging_steps=1)


@pytest.fixture
def teacher(fresh_model):
    return np.random.default_rng(0).normal(size=(4, fresh_model.dimension)).astype(np.float32)


def weights_of(model):
    heads = {**model.reconstruction.state_dict(prefix="r."), **model.alignment.state_dict()}
    return {"tokens": model.response_tokens.detach().clone()} | {
        name: weight.clone() for name, weight in heads.items()
    }


def test_thirty_steps_reduce_both_losses(fresh_model, teacher, tmp_path):
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, RECIPE, tmp_path)
    first, last = result.log[0], result.log[-1]
    assert last["reconstruction"] < 0.75 * first["reconstruction"]
    assert last["alignment"] < 0.6 * first["alignment"]
    assert (last["step"], result.reconstruction) == (30, last["reconstruction"])


def test_the_frozen_llm_is_unchanged(fresh_model, teacher, tmp_path):
    before = {name: weight.clone() for name, weight in fresh_model.backbone.state_dict().items()}
    attention = fresh_model.backbone.config._attn_implementation
    fit(fresh_model, QUESTIONS, ANSWERS, teacher, FEW, tmp_path)
    for name, weight in fresh_model.backbone.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert fresh_model.backbone.config._attn_implementation == attention
    assert not fresh_model.backbone.training


def test_what_is_trained_changes_and_what_is_saved_is_it(fresh_model, teacher, tmp_path):
    before = weights_of(fresh_model)
    fit(fresh_model, QUESTIONS, ANSWERS, teacher, FEW, tmp_path)
    after = weights_of(fresh_model)
    assert all(not torch.equal(after[name], before[name]) for name in before)
    base = fresh_model.backbone.config.name_or_path
    saved = LLM2VecGen.from_pretrained(tmp_path, base_model=base, dtype="float32", device="cpu")
    np.testing.assert_array_equal(saved.encode(QUESTIONS), fresh_model.encode(QUESTIONS))


@pytest.mark.parametrize("parts", [2, 8])
def test_a_step_cut_into_parts_is_the_same_step(load_kit, teacher, tmp_path, monkeypatch, parts):
    """In float32: bfloat16 rounds each part's gradient, and AdamW makes much of small ones."""
    monkeypatch.setattr(trainer_arguments, "cpu_has_bfloat16", lambda: False)
    trained = []
    for accumulation in (1, parts):
        model = load_kit("qwen3-10")
        recipe = dataclasses.replace(FEW, batch_size=8, accumulation=accumulation)
        result = fit(model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path / str(accumulation))
        trained.append((weights_of(model), result.reconstruction))
    (whole, whole_loss), (cut, cut_loss) = trained
    assert cut_loss == pytest.approx(whole_loss, rel=1e-4)
    for name, weight in whole.items():
        torch.testing.assert_close(cut[name], weight, rtol=0, atol=1e-4)


def test_the_same_seed_gives_the_same_model(load_kit, teacher, tmp_path):
    runs = []
    for folder, seed in (("first", 1), ("second", 1), ("third", 2)):
        model = load_kit("qwen3-10")
        recipe = dataclasses.replace(FEW, seed=seed, batch_size=2)
        fit(model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path / folder)
        runs.append(model.fingerprint)
    assert runs[0] == runs[1] != runs[2]


def test_the_weights_choose_what_is_learned(fresh_model, teacher, tmp_path):
    before = weights_of(fresh_model)
    recipe = dataclasses.replace(FEW, alignment_weight=0.0)
    fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)
    after = weights_of(fresh_model)
    assert torch.equal(after["weight"], before["weight"])
    assert not torch.equal(after["r.weight"], before["r.weight"])


def test_the_schedule_may_be_longer_than_the_run(fresh_model, teacher, tmp_path):
    """As the published checkpoints': warm-up, then linear to zero, and stopped on the way."""
    recipe = dataclasses.replace(FEW, schedule_steps=10)
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)
    rates = [entry["learning_rate"] / recipe.learning_rate for entry in result.log]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 7 / 8])


def test_the_log_holds_the_recipe_and_every_loss(fresh_model, teacher, tmp_path):
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, FEW, tmp_path)
    log = json.loads((tmp_path / "training_log.json").read_text())
    assert Recipe(**log["recipe"]) == FEW
    assert log["pairs"] == 4
    assert log["log"] == result.log
    assert [entry["step"] for entry in log["log"]] == [1, 2, 3, 4]
    assert all(entry.keys() >= {"reconstruction", "alignment"} for entry in log["log"])


def test_steps_after_the_last_full_logging_interval_are_logged(fresh_model, teacher, tmp_path):
    recipe = dataclasses.replace(FEW, steps=5, logging_steps=3)
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)
    assert [entry["step"] for entry in result.log] == [1, 3, 5]
    assert result.alignment == result.log[-1]["alignment"] < result.log[-2]["alignment"]


def test_logged_losses_are_those_of_the_objective(fresh_model, teacher, tmp_path):
    with torch.no_grad():
        losses = step_losses(fresh_model, QUESTIONS, ANSWERS, teacher)
    recipe = dataclasses.replace(FEW, steps=1, warmup_steps=0, alignment_weight=7.0)
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)
    assert result.reconstruction == pytest.approx(losses.reconstruction.item(), rel=0.02)
    assert result.alignment == pytest.approx(losses.alignment.item(), rel=0.02)


def test_a_backbone_in_bfloat16_trains_beside_one_in_float32(
    fresh_model, load_kit, teacher, tmp_path
):
    exact = fit(fresh_model, QUESTIONS, ANSWERS, teacher, FEW, tmp_path / "exact")
    half = load_kit("qwen3-10", dtype="bfloat16")
    rounded = fit(half, QUESTIONS, ANSWERS, teacher, FEW, tmp_path / "rounded")
    assert half.response_tokens.dtype == half.alignment.weight.dtype == torch.float32
    assert rounded.reconstruction == pytest.approx(exact.reconstruction, rel=0.05)


def test_nothing_is_printed_and_no_run_folder_is_made(
    fresh_model, teacher, tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    fit(fresh_model, QUESTIONS, ANSWERS, teacher, FEW, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not [path for path in (tmp_path / "out").rglob("*") if "checkpoint-" in path.name]
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_a_loss_that_is_not_finite_stops_the_run(fresh_model, teacher, tmp_path):
    with pytest.raises(NonFiniteError, match=r"by step 1 .* alignment loss inf"):
        fit(fresh_model, QUESTIONS, ANSWERS, teacher * 1e30, FEW, tmp_path)


def test_a_recipe_for_other_tokens_is_refused(fresh_model, teacher, tmp_path):
    recipe = dataclasses.replace(FEW, compression_tokens=4)
    with pytest.raises(ValueError, match="10 response and 10 compression tokens, the recipe 10"):
        fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)


def test_data_that_does_not_fit_is_refused_before_training(fresh_model, teacher, tmp_path):
    with pytest.raises(ValueError, match="4 questions and 3 answers"):
        fit(fresh_model, QUESTIONS, ANSWERS[:3], teacher, FEW, tmp_path)
    with pytest.raises(ValueError, match=r"\(3, 48\); expected \(4, 48\)"):
        fit(fresh_model, QUESTIONS, ANSWERS, teacher[:3], FEW, tmp_path)


@pytest.mark.parametrize("teacher_name", ["tfidf-svd", "backbone-mean"])
def test_queries_alone_make_a_model(load_kit, tmp_path, teacher_name):
    kit = load_kit("qwen3-10")
    base = kit.backbone.config.name_or_path
    recipe = dataclasses.replace(
        FEW, teacher=teacher_name, teacher_dimension=3, max_new_tokens=8, response_tokens=12
    )
    result = train(kit.backbone, AutoTokenizer.from_pretrained(base), QUESTIONS, recipe, tmp_path)
    model = LLM2VecGen.from_pretrained(result.folder, device="cpu", dtype="float32")
    assert model.encode(QUESTIONS).shape == (4, {"tfidf-svd": 3, "backbone-mean": 64}[teacher_name])
    assert (len(model.response_tokens), model.compression_tokens) == (12, 10)


def test_the_heads_can_have_a_rate_of_their_own(load_kit, tmp_path):
    def moved_by(**changes):
        model = load_kit("qwen3-10")
        teacher = np.random.default_rng(0).normal(size=(4, model.dimension)).astype(np.float32)
        before = weights_of(model)
        recipe = dataclasses.replace(FEW, warmup_steps=0, **changes)
        fit(model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path / str(len(changes)))
        after = weights_of(model)
        return {name: float((after[name] - before[name]).abs().max()) for name in before}

    same, slow = moved_by(), moved_by(head_learning_rate=1e-3 * FEW.learning_rate)
    assert slow["tokens"] > 0.5 * same["tokens"]
    assert all(slow[name] < 0.01 * same[name] for name in same if name != "tokens")


def test_without_a_reconstruction_weight_no_answer_is_read(fresh_model, teacher, tmp_path):
    recipe = dataclasses.replace(RECIPE, reconstruction_weight=0.0)
    result = fit(fresh_model, QUESTIONS, ANSWERS, teacher, recipe, tmp_path)
    assert {entry["reconstruction"] for entry in result.log} == {0.0}
    assert result.log[-1]["alignment"] < result.log[0]["alignment"]


def test_what_is_no_loaded_model_is_not_trained(teacher, tmp_path):
    with pytest.raises(
        ValueError, match=r"model is 'almanac' \(str\); .*LLM2VecGen\.from_pretrained"
    ):
        fit("almanac", QUESTIONS, ANSWERS, teacher, FEW, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
