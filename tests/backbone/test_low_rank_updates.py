"""Low-rank updates are on only while embedding, and belong on one base model."""

from __future__ import annotations

import shutil

import pytest
import torch
from broken_checkpoints import edit_tensors
from reference_kits import ReferenceKit
from torch import nn
from transformers import AutoModelForCausalLM

from llm2vec_gen_rag.backbone.lora import LowRankAdapter, LowRankUpdate
from llm2vec_gen_rag.errors import SizeMismatchError

TEXTS = ["where do polar bears live", "", "what does disk cleanup mean"]


def test_a_lora_adapter_is_off_outside_embedding():
    kit = ReferenceKit("qwen3-10-lora")
    model = kit.load()
    plain = AutoModelForCausalLM.from_pretrained(kit.base, dtype=torch.float32).eval()
    ids = torch.tensor([[10, 20, 30]])
    with torch.no_grad():
        expected = plain(ids).logits
        assert torch.equal(model.backbone(ids).logits, expected)
        model.encode(TEXTS)
        assert torch.equal(model.backbone(ids).logits, expected)
        with model.adapter.active():
            assert not torch.allclose(model.backbone(ids).logits, expected, atol=1e-2)


def test_a_lora_adapter_is_off_after_an_error_too():
    model = ReferenceKit("qwen3-10-lora").load()
    with pytest.raises(RuntimeError, match="boom"), model.adapter.active():
        raise RuntimeError("boom")
    ids = torch.tensor([[10, 20, 30]])
    with torch.no_grad(), model.adapter.active():
        on = model.backbone(ids).logits
    with torch.no_grad():
        assert not torch.allclose(model.backbone(ids).logits, on, atol=1e-2)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize(("output_dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_without_gradient_an_update_is_added_in_place_as_with_it(shape, output_dtype, error):
    torch.manual_seed(0)
    layer = nn.Linear(5, 4).to(output_dtype)
    update = LowRankUpdate(*map(nn.Parameter, (torch.randn(2, 5), torch.randn(4, 2))), 0.5)
    adapter = LowRankAdapter(nn.ModuleDict({"layer": layer}), {"layer": update})
    inputs = torch.randn(shape).to(output_dtype)
    with adapter.active():
        expected = layer(inputs)
        with torch.no_grad():
            found = layer(inputs)
    assert expected.requires_grad
    assert found.dtype == output_dtype
    torch.testing.assert_close(found, expected.detach(), atol=error, rtol=error)
    assert not torch.allclose(found, layer(inputs))


def test_a_low_rank_update_of_a_layer_that_is_not_there(tmp_path):
    kit = ReferenceKit("qwen3-10-lora")
    shutil.copytree(kit.checkpoint, tmp_path / "checkpoint")

    def rename(tensors):
        for name in [name for name in tensors if "layers.2" in name]:
            tensors[name.replace("layers.2", "layers.7")] = tensors.pop(name)

    edit_tensors(tmp_path / "checkpoint" / "encoder" / "adapter_model.safetensors", rename)
    with pytest.raises(SizeMismatchError, match=r"layers\.7.*base_model="):
        kit.load(tmp_path / "checkpoint")
