"""The response tokens after questions in a training step, against the LLM's own forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kept_storages import kept_storages
from torch import nn

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.cpu import attention
from llm2vec_gen_rag.cpu.buffers import acquire, release, reuse_buffers
from llm2vec_gen_rag.training.objective.states import response_token_states as states_of

KITS = ["qwen3-10", "qwen2-6-4", "llama-20-10"]
LENGTHS = {"uneven": [3, 7, 1], "even": [4, 4], "one is empty": [0, 5], "all are empty": [0, 0]}


def questions_of(lengths):
    generator = np.random.default_rng(0)
    return [generator.integers(5, 40, size=length) for length in lengths]


@pytest.fixture
def own_states(monkeypatch):
    """Compute the states by the LLM's own forward."""

    def compute(model, questions):
        with monkeypatch.context() as patch:
            patch.setattr(cpu, "gradient_forward_for", lambda backbone: None)
            return states_of(model, questions)

    return compute


def gradient_of(states, weight):
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((states.float() * direction).sum(), weight)
    return gradient


@pytest.mark.parametrize(("checkpointing", "block"), [(False, 128), (True, 128), (False, 4)])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
@pytest.mark.parametrize("kit", KITS)
def test_states_and_gradient_are_those_of_the_llm_itself(
    load_kit, own_states, monkeypatch, kit, lengths, checkpointing, block
):
    monkeypatch.setattr(attention, "BLOCK", block)
    model, questions = load_kit(kit), questions_of(lengths)
    tokens = model.response_tokens.requires_grad_()
    expected = own_states(model, questions)
    found = states_of(model, questions, gradient_checkpointing=checkpointing)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    wanted = gradient_of(expected, tokens)
    assert (gradient_of(found, tokens) - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
@pytest.mark.parametrize("kit", KITS)
def test_under_autocast_the_gradient_is_as_close_as_the_llms_own(
    load_kit, own_states, kit, lengths
):
    model, questions = load_kit(kit), questions_of(lengths)
    tokens = model.response_tokens.requires_grad_()
    exact = gradient_of(own_states(model, questions), tokens)
    with torch.autocast("cpu", torch.bfloat16):
        own, found = own_states(model, questions), states_of(model, questions)
    errors = [(gradient_of(states, tokens) - exact).norm() for states in (own, found)]
    assert errors[1] < 2 * errors[0]
    assert errors[1] < 0.05 * exact.norm()


def test_a_question_attends_to_no_padding_and_no_other_question(fresh_model):
    questions = questions_of(LENGTHS["uneven"])
    together = states_of(fresh_model, questions)
    for row, question in enumerate(questions):
        torch.testing.assert_close(together[row], states_of(fresh_model, [question])[0])


def test_keys_and_values_of_a_question_are_saved_once_and_not_for_every_head(fresh_model):
    """Eager attention saves them repeated: most of the memory of a step with a long question."""
    fresh_model.response_tokens.requires_grad_()

    def kept(tokens):
        with kept_storages() as sizes:
            assert states_of(fresh_model, questions_of([tokens, tokens])).requires_grad
        return sum(sizes.values())

    layers: nn.ModuleList = fresh_model.backbone.base_model.layers
    widths = [layer.self_attn.k_proj.out_features for layer in layers]
    keys_and_values = 2 * (2 * 100) * sum(widths) * fresh_model.backbone.dtype.itemsize
    assert keys_and_values <= kept(200) - kept(100) < 1.1 * keys_and_values


def test_steps_reuse_their_buffers_in_turn(fresh_model):
    """Two nested forwards, as question and answer of every step."""
    fresh_model.response_tokens.requires_grad_()
    questions = questions_of(LENGTHS["uneven"])
    alone = gradient_of(states_of(fresh_model, questions), fresh_model.response_tokens)
    decoder, used = fresh_model.backbone.base_model, []
    with reuse_buffers(decoder):
        for _ in range(3):
            outer = states_of(fresh_model, questions)
            inner = states_of(fresh_model, questions_of([9, 9, 9, 9]))
            gradient_of(inner, fresh_model.response_tokens)
            found = gradient_of(outer, fresh_model.response_tokens)
            assert (found - alone).norm() < 1e-6 * alone.norm()
            pieces = [acquire(decoder, 1), acquire(decoder, 1)]
            used.append([(piece.data_ptr(), len(piece)) for piece in pieces])
            for piece in reversed(pieces):
                release(decoder, piece)
    assert min(size for step in used for _, size in step) > 1
    assert used[0] == used[1] == used[2]


def test_a_second_backward_pass_does_not_release_a_buffer_twice(fresh_model):
    tokens = fresh_model.response_tokens.requires_grad_()
    decoder = fresh_model.backbone.base_model
    with reuse_buffers(decoder):
        states = states_of(fresh_model, questions_of(LENGTHS["uneven"]))
        torch.autograd.grad(states.sum(), tokens, retain_graph=True)
        torch.autograd.grad(states.sum(), tokens)
        assert len(acquire(decoder, 1)) > 1
        assert len(acquire(decoder, 1)) == 1


def test_where_layers_are_unsupported_the_llm_runs_its_own_forward(fresh_model, own_states):
    fresh_model.response_tokens.requires_grad_()
    questions = questions_of(LENGTHS["uneven"])
    ran = []
    norm = fresh_model.backbone.base_model.norm
    norm.register_forward_hook(lambda *_: ran.append(1))
    expected = states_of(fresh_model, questions)
    assert not ran
    found = own_states(fresh_model, questions)
    assert len(ran) == 2  # the questions, then the response tokens
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
