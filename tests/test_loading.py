"""A model that is loaded: one resident LLM, frozen, known by its name."""

from __future__ import annotations

import gc

import pytest
import torch
from broken_checkpoints import load
from transformers import AutoModelForCausalLM


def test_one_copy_of_the_base_model_and_nothing_resized(each_kit, each_model):
    plain = AutoModelForCausalLM.from_pretrained(each_kit.base, dtype=torch.float32)
    resident = each_model.backbone
    assert resident.num_parameters() == plain.num_parameters()
    expected = plain.get_input_embeddings().weight
    assert torch.equal(resident.get_input_embeddings().weight, expected)


def storages():
    """Return the bytes of each storage that a tensor in memory has, by its address."""
    return {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if issubclass(type(tensor), torch.Tensor) and tensor.device.type == "cpu"
    }


def test_loading_keeps_no_second_copy_of_anything(each_kit):
    gc.collect()
    before = storages()
    model = each_kit.load()
    kept = {place: size for place, size in storages().items() if place not in before}
    weights = [*model.backbone.parameters(), model.response_tokens]
    weights += [*model.reconstruction.parameters(), *model.alignment.parameters()]
    weights += [] if model.adapter is None else [*model.adapter.parameters()]
    whole = sum(weight.numel() * weight.element_size() for weight in set(weights))
    response_tokens = model.response_tokens.numel() * 4
    assert whole <= sum(kept.values()) <= 1.05 * whole + response_tokens


def test_nothing_takes_gradients_until_asked(each_model):
    weights = [each_model.response_tokens, *each_model.backbone.parameters()]
    weights += [*each_model.reconstruction.parameters(), *each_model.alignment.parameters()]
    assert not any(weight.requires_grad for weight in weights)
    assert not each_model.backbone.training


def test_name_and_revision(each_kit, each_model):
    assert each_model.name == str(each_kit.checkpoint)
    assert each_model.revision is None


def test_an_option_that_does_not_exist(broken):
    with pytest.raises(TypeError, match="devise"):
        load(broken, devise="cpu")
