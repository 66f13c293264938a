"""Training of the reconstruction head alone: it decodes better, and embeds as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.errors import NonFiniteError
from llm2vec_gen_rag.training.fit.reconstruction_head import HeadRecipe, fit_reconstruction_head
from llm2vec_gen_rag.training.objective import step_losses

QUESTIONS = [f"what is the colour of flower {number}?" for number in range(24)]
ANSWERS = [f"The flower is {('red', 'blue', 'white')[number % 3]}." for number in range(24)]
RECIPE = HeadRecipe(steps=12, batch_size=8, learning_rate=1e-3, warmup_steps=2)


def reconstruction(model):
    teacher = np.zeros((len(QUESTIONS), model.dimension), dtype=np.float32)
    with torch.no_grad():
        return float(step_losses(model, QUESTIONS, ANSWERS, teacher).reconstruction)


def test_the_answers_become_likelier_and_no_embedding_moves(fresh_model):
    asked = [*QUESTIONS, "", "a text that it was not trained on"]
    vectors, before = fresh_model.encode(asked, normalize=False), reconstruction(fresh_model)
    losses = fit_reconstruction_head(fresh_model, QUESTIONS, ANSWERS, RECIPE)
    assert reconstruction(fresh_model) < before
    assert len(losses) == RECIPE.steps
    np.testing.assert_allclose(
        fresh_model.encode(asked, normalize=False), vectors, rtol=1e-3, atol=1e-4 * vectors.std()
    )


def test_nothing_but_the_two_heads_changes(fresh_model):
    parts = {
        "tokens": fresh_model.response_tokens.detach().clone(),
        "layer": fresh_model.backbone.base_model.layers[0].mlp.up_proj.weight.detach().clone(),
    }
    fit_reconstruction_head(fresh_model, QUESTIONS, ANSWERS, RECIPE)
    assert torch.equal(parts["tokens"], fresh_model.response_tokens)
    assert torch.equal(parts["layer"], fresh_model.backbone.base_model.layers[0].mlp.up_proj.weight)
    assert not fresh_model.reconstruction.weight.requires_grad


def test_a_rate_that_is_far_too_high_is_an_error(fresh_model):
    wild = HeadRecipe(steps=4, batch_size=8, learning_rate=1e37, warmup_steps=1)
    with pytest.raises(NonFiniteError, match=r"[Ll]ower the learning rate"):
        fit_reconstruction_head(fresh_model, QUESTIONS, ANSWERS, wild)


def test_as_many_answers_as_questions(fresh_model):
    with pytest.raises(ValueError, match="one answer"):
        fit_reconstruction_head(fresh_model, QUESTIONS, ANSWERS[:-1], RECIPE)
