"""Low-rank updates are on only while embedding, and belong on one base model."""

from __future__ import annotations

import shutil

import pytest
import torch
from broken_checkpoints import edit_tensors
from reference_kits import ReferenceKit
from transformers import AutoModelForCausalLM

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


def test_a_low_rank_update_of_a_layer_that_is_not_there(tmp_path):
    kit = ReferenceKit("qwen3-10-lora")
    shutil.copytree(kit.checkpoint, tmp_path / "checkpoint")

    def rename(tensors):
        for name in [name for name in tensors if "layers.2" in name]:
            tensors[name.replace("layers.2", "layers.7")] = tensors.pop(name)

    edit_tensors(tmp_path / "checkpoint" / "encoder" / "adapter_model.safetensors", rename)
    with pytest.raises(SizeMismatchError, match=r"layers\.7.*base_model="):
        kit.load(tmp_path / "checkpoint")
