"""The closed-form start of the heads: exact where the teacher is linear in the states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.encoder import last_hidden_states
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.initial_heads import (
    initialise_heads,
    refit_alignment_head,
    ridge_regression,
)

QUESTIONS = [f"what is {number} and {number * number}" for number in range(300)]
RECIPE = Recipe(least_squares_rows=300, max_length=64)


def mean_states(model):
    with torch.no_grad():
        ids = model.text_tokenizer.token_ids(QUESTIONS)
        return last_hidden_states(model, ids).mean(dim=1).numpy()


def test_a_teacher_that_is_linear_in_the_states_is_found(fresh_model):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(fresh_model.dimension, fresh_model.reconstruction.in_features))
    teacher = (mean_states(fresh_model) @ weight.T + 3).astype(np.float32)
    assert initialise_heads(fresh_model, QUESTIONS, teacher, RECIPE) > 0.99
    embedded = fresh_model.encode(QUESTIONS, normalize=False)
    error = np.square(embedded - teacher).mean()
    assert error < 0.01 * np.var(teacher, axis=0).mean()


def test_soft_prompts_are_as_long_as_the_embeddings_of_tokens(fresh_model):
    teacher = np.random.default_rng(0).normal(size=(300, fresh_model.dimension)).astype(np.float32)
    initialise_heads(fresh_model, QUESTIONS, teacher, RECIPE)
    with torch.no_grad():
        states = last_hidden_states(fresh_model, fresh_model.text_tokenizer.token_ids(QUESTIONS))
        prompts = fresh_model.reconstruction(states)
    tokens = fresh_model.backbone.get_input_embeddings().weight
    lengths = [part.square().mean().sqrt().item() for part in (prompts, tokens)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)


def test_fewer_rows_than_questions_are_a_sample_by_the_seed(load_kit):
    def weight_by(**changes):
        model = load_kit("qwen3-10")
        teacher = np.random.default_rng(0).normal(size=(300, model.dimension))
        initialise_heads(model, QUESTIONS, teacher, dataclasses.replace(RECIPE, **changes))
        return model.alignment.weight

    few = weight_by(least_squares_rows=50)
    assert torch.equal(few, weight_by(least_squares_rows=50))
    assert not torch.equal(few, weight_by(least_squares_rows=50, seed=1))
    assert not torch.equal(few, weight_by())


def test_one_question_is_too_few(fresh_model):
    with pytest.raises(ValueError, match="at least two"):
        initialise_heads(
            fresh_model, ["why"], np.zeros((1, fresh_model.dimension), dtype=np.float32), RECIPE
        )


def test_ridge_regression_without_noise_is_exact():
    inputs = torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    true = torch.arange(15, dtype=torch.float64).reshape(3, 5)
    weight, bias, explained = ridge_regression(inputs, inputs @ true.T + 7)
    torch.testing.assert_close(weight, true, rtol=0.01, atol=0.02)
    torch.testing.assert_close(bias, torch.full((3,), 7.0, dtype=torch.float64), rtol=0.02, atol=0)
    assert explained > 0.9999


def test_the_ridge_is_the_one_that_foresees_rows_left_out():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(90, 60, dtype=torch.float64, generator=generator)
    true = torch.randn(4, 60, dtype=torch.float64, generator=generator) / 8
    noise = torch.randn(90, 4, dtype=torch.float64, generator=generator)
    fresh = torch.randn(500, 60, dtype=torch.float64, generator=generator)
    weight, bias, explained = ridge_regression(inputs, inputs @ true.T + noise)
    exact = torch.linalg.lstsq(inputs, inputs @ true.T + noise).solution.T
    error, of_exact = (
        float((fresh @ (found - true).T + offset).square().mean())
        for found, offset in ((weight, bias), (exact, 0))
    )
    assert error < 0.5 * of_exact
    assert -0.2 < explained < 0.7  # of rows it did not see, most of which is noise


def test_an_alignment_head_is_fitted_again_to_what_the_states_became(fresh_model):
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(300, fresh_model.dimension)).astype(np.float32)
    initialise_heads(fresh_model, QUESTIONS, teacher, RECIPE)
    head = fresh_model.reconstruction.weight.detach().clone()
    weight = rng.normal(size=(fresh_model.dimension, fresh_model.reconstruction.in_features))
    linear = (mean_states(fresh_model) @ weight.T).astype(np.float32)
    recipe = dataclasses.replace(RECIPE, refit_rows=300)
    assert refit_alignment_head(fresh_model, QUESTIONS, linear, recipe) > 0.99
    embedded = fresh_model.encode(QUESTIONS, normalize=False)
    assert np.square(embedded - linear).mean() < 0.01 * np.var(linear, axis=0).mean()
    assert torch.equal(head, fresh_model.reconstruction.weight)
