"""The layers written out under gradient, against the LLM's own forward."""

from __future__ import annotations

import weakref

import pytest
import torch
from kept_storages import kept_storages
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

from llm2vec_gen_rag.cpu import attention, gradient_forward_for
from llm2vec_gen_rag.cpu.buffers import acquire, release, reuse_buffers

KITS = ["qwen3-10", "qwen2-6-4", "llama-20-10"]


def inputs_of(model, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    size = (2, 9, model.backbone.config.hidden_size)
    return torch.randn(size, generator=generator).to(dtype).requires_grad_()


def gradient_of(states, inputs):
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((states * direction).sum(), inputs)
    return gradient


def last_states(model, inputs, **options):
    return gradient_forward_for(model.backbone).states(inputs, **options)


def own_forward(model, inputs):
    return model.backbone.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state


@pytest.mark.parametrize(("checkpointing", "block"), [(False, 128), (True, 128), (False, 4)])
@pytest.mark.parametrize("kit", KITS)
def test_states_and_gradient_are_those_of_the_llm_itself(
    load_kit, monkeypatch, kit, checkpointing, block
):
    monkeypatch.setattr(attention, "BLOCK", block)
    model = load_kit(kit)
    inputs = inputs_of(model)
    expected = own_forward(model, inputs)
    found = last_states(model, inputs, gradient_checkpointing=checkpointing)
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
        own, found = own_forward(model, inputs), last_states(model, inputs)
    errors = [(gradient_of(states, inputs) - exact).norm() for states in (own, found)]
    assert errors[1] < 2 * errors[0]
    assert errors[1] < 0.05 * exact.norm()


def test_little_more_than_half_is_saved_for_the_backward_pass(fresh_model):
    fresh_model.backbone.to(torch.bfloat16)
    weights = {weight.untyped_storage().data_ptr() for weight in fresh_model.backbone.parameters()}

    def kept(forward):
        with kept_storages() as sizes:
            states = forward(inputs_of(fresh_model, torch.bfloat16))
        assert states.requires_grad
        return sum(size for place, size in sizes.items() if place not in weights)

    ours = kept(lambda inputs: last_states(fresh_model, inputs))
    theirs = kept(lambda inputs: own_forward(fresh_model, inputs))
    assert 0 < ours < 0.55 * theirs, ours / theirs


def test_steps_reuse_one_buffer_which_is_freed_after_them(model):
    decoder = model.backbone.base_model
    with reuse_buffers(decoder):
        places = []
        for _ in range(2):
            inputs = inputs_of(model)
            gradient_of(last_states(model, inputs), inputs)
            used = acquire(decoder, 1)
            assert len(used) > 1
            places.append(used.data_ptr())
            release(decoder, used)
    assert places[0] == places[1]
    assert len(acquire(decoder, 1)) == 1


def test_a_buffer_that_is_too_small_is_freed_before_a_larger_one_is_allocated(model):
    decoder = model.backbone.base_model
    with reuse_buffers(decoder):
        small = torch.empty(8, dtype=torch.uint8)
        held = weakref.ref(small)
        release(decoder, small)
        del small
        assert len(acquire(decoder, 16)) == 16
        assert held() is None


def test_without_gradient_the_states_are_the_same(model):
    inputs = inputs_of(model)
    with reuse_buffers(model.backbone.base_model), torch.no_grad():
        found = last_states(model, inputs)
    torch.testing.assert_close(found, own_forward(model, inputs), rtol=1e-5, atol=1e-5)


def test_a_batch_of_one(model):
    inputs = inputs_of(model)[:1].detach().requires_grad_()
    expected = gradient_of(own_forward(model, inputs), inputs)
    found = gradient_of(last_states(model, inputs), inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_overlapping_steps_have_separate_buffers(model):
    inputs = inputs_of(model)
    expected = gradient_of(own_forward(model, inputs), inputs)
    with reuse_buffers(model.backbone.base_model):
        for _ in range(2):  # the second time there is a free buffer
            first, second = (last_states(model, inputs) for _ in range(2))
            for states in (first, second):
                torch.testing.assert_close(
                    gradient_of(states, inputs), expected, rtol=1e-4, atol=1e-5
                )


def test_no_gradient_is_computed_from_a_buffer_that_another_step_has_overwritten(model):
    inputs = inputs_of(model)
    with reuse_buffers(model.backbone.base_model):
        states = last_states(model, inputs)
        torch.autograd.grad(states.sum(), inputs, retain_graph=True)
        last_states(model, inputs)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gradient_of(states, inputs)


def test_unsupported_layers_are_left_to_the_llms_own_forward(fresh_model):
    assert gradient_forward_for(fresh_model.backbone) is not None
    fresh_model.backbone.config.hidden_act = "gelu"
    assert gradient_forward_for(fresh_model.backbone) is None
    other = MistralForCausalLM(
        MistralConfig(
            vocab_size=8,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=None,
        )
    ).requires_grad_(requires_grad=False)
    assert gradient_forward_for(other) is not None
    other.model.layers[0].mlp.up_proj = nn.Sequential(other.model.layers[0].mlp.up_proj)
    assert gradient_forward_for(other) is None
    other.model.layers[0] = nn.Identity()
    assert gradient_forward_for(other) is None
