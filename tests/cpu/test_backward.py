"""The layers called one by one under gradient, against the LLM's own forward."""

from __future__ import annotations

import weakref

import pytest
import torch
from kept_storages import kept_storages
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

from llm2vec_gen_rag.cpu import attention_backward as attention_gradient
from llm2vec_gen_rag.cpu.backward import last_states, runs_under_gradient
from llm2vec_gen_rag.cpu.buffers import leave, memory_for_steps, take

KITS = ["qwen3-10", "qwen2-6-4", "llama-20-10"]


@pytest.fixture
def model(load_kit):
    return load_kit("qwen3-10")


def inputs_of(model, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    size = (2, 9, model.backbone.config.hidden_size)
    return torch.randn(size, generator=generator).to(dtype).requires_grad_()


def gradient_of(states, inputs):
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((states * direction).sum(), inputs)
    return gradient


def own_forward(model, inputs):
    return model.backbone.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state


@pytest.mark.parametrize(("recomputed", "block"), [(False, 128), (True, 128), (False, 4)])
@pytest.mark.parametrize("kit", KITS)
def test_states_and_gradient_are_those_of_the_llm_itself(
    load_kit, monkeypatch, kit, recomputed, block
):
    monkeypatch.setattr(attention_gradient, "BLOCK", block)
    model = load_kit(kit)
    inputs = inputs_of(model)
    expected = own_forward(model, inputs)
    found = last_states(model.backbone, inputs, recomputed=recomputed)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradient_of(found, inputs), gradient_of(expected, inputs), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kit", KITS)
def test_under_autocast_both_round_alike(load_kit, kit):
    model = load_kit(kit)
    inputs = inputs_of(model)
    exact = gradient_of(own_forward(model, inputs), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        own, found = own_forward(model, inputs), last_states(model.backbone, inputs)
    errors = [(gradient_of(states, inputs) - exact).norm() for states in (own, found)]
    assert errors[1] < 2 * errors[0]
    assert errors[1] < 0.05 * exact.norm()


def test_little_more_than_half_is_kept_for_the_way_back(model):
    model.backbone.to(torch.bfloat16)
    weights = {weight.untyped_storage().data_ptr() for weight in model.backbone.parameters()}

    def kept(forward):
        with kept_storages() as sizes:
            states = forward(inputs_of(model, torch.bfloat16))
        assert states.requires_grad
        return sum(size for place, size in sizes.items() if place not in weights)

    ours = kept(lambda inputs: last_states(model.backbone, inputs))
    theirs = kept(lambda inputs: own_forward(model, inputs))
    assert 0 < ours < 0.55 * theirs, ours / theirs


def test_steps_use_one_memory_and_none_is_held_behind_them(model):
    decoder = model.backbone.base_model
    with memory_for_steps(decoder):
        places = []
        for _ in range(2):
            inputs = inputs_of(model)
            gradient_of(last_states(model.backbone, inputs), inputs)
            used = take(decoder, 1)
            assert len(used) > 1
            places.append(used.data_ptr())
            leave(decoder, used)
    assert places[0] == places[1]
    assert len(take(decoder, 1)) == 1


def test_what_is_too_small_is_given_up_before_there_is_more(model):
    decoder = model.backbone.base_model
    with memory_for_steps(decoder):
        small = torch.empty(8, dtype=torch.uint8)
        held = weakref.ref(small)
        leave(decoder, small)
        del small
        assert len(take(decoder, 16)) == 16
        assert held() is None


def test_without_gradient_the_states_are_the_same(model):
    inputs = inputs_of(model)
    with memory_for_steps(model.backbone.base_model), torch.no_grad():
        found = last_states(model.backbone, inputs)
    torch.testing.assert_close(found, own_forward(model, inputs), rtol=1e-5, atol=1e-5)


def test_a_batch_of_one(model):
    inputs = inputs_of(model)[:1].detach().requires_grad_()
    expected = gradient_of(own_forward(model, inputs), inputs)
    found = gradient_of(last_states(model.backbone, inputs), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_steps_that_overlap_have_memory_of_their_own(model):
    inputs = inputs_of(model)
    expected = gradient_of(own_forward(model, inputs), inputs)
    with memory_for_steps(model.backbone.base_model):
        for _ in range(2):  # the second time there is memory left over
            first, second = (last_states(model.backbone, inputs) for _ in range(2))
            for states in (first, second):
                torch.testing.assert_close(
                    gradient_of(states, inputs), expected, rtol=1e-4, atol=1e-5
                )


def test_no_gradient_comes_from_memory_that_another_step_has_used(model):
    inputs = inputs_of(model)
    with memory_for_steps(model.backbone.base_model):
        states = last_states(model.backbone, inputs)
        torch.autograd.grad(states.sum(), inputs, retain_graph=True)
        last_states(model.backbone, inputs)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gradient_of(states, inputs)


def test_what_it_computes_otherwise_is_left_to_the_llm(model):
    assert runs_under_gradient(model.backbone)
    model.backbone.config.hidden_act = "gelu"
    assert not runs_under_gradient(model.backbone)
    other = MistralForCausalLM(
        MistralConfig(
            vocab_size=8,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    )
    assert runs_under_gradient(other)
    other.model.layers[0].mlp.up_proj = nn.Sequential(other.model.layers[0].mlp.up_proj)
    assert not runs_under_gradient(other)
    other.model.layers[0] = nn.Identity()
    assert not runs_under_gradient(other)
