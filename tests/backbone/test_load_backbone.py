"""The frozen LLM: a broken or unsuitable one, on which device, in which dtype, loaded how."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from broken_checkpoints import load, refused
from reference_kits import ReferenceKit
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen3Config

from llm2vec_gen_rag.backbone import device as devices
from llm2vec_gen_rag.errors import BaseModelError, NonFiniteError, SizeMismatchError

TEXTS = ["where do polar bears live", "", "what does disk cleanup mean"]


# --- one that is broken


def test_a_base_model_that_is_nowhere(broken):
    said = r"'tiny/qwen3-base' cannot be loaded .*pass base_model="
    with pytest.raises(BaseModelError, match=said):
        load(broken, base_model=None)


def test_a_half_written_base_model(broken):
    path = broken / "base" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(broken, BaseModelError, "cannot be loaded")


def test_a_base_model_that_lacks_weights(broken):
    def drop(tensors):
        tensors.pop("model.layers.1.mlp.up_proj.weight")

    path = broken / "base" / "model.safetensors"
    tensors = load_file(path)
    drop(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    refused(broken, BaseModelError, r"lacks 1 of its weights, such as .*up_proj")


def test_nan_in_the_base_model(broken):
    path = broken / "base" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = np.nan
    save_file(tensors, path, metadata={"format": "pt"})
    spoilt = load(broken)
    for call in (spoilt.encode, spoilt.decode):
        with pytest.raises(NonFiniteError, match=r"computed NaN or infinity in torch\.float32"):
            call("x")


# --- one of other sizes than the checkpoint


@pytest.fixture(scope="module")
def narrow_base(tmp_path_factory):
    """A base model of half the hidden size, with the tokenizer of the kits."""
    folder = tmp_path_factory.mktemp("narrow") / "base"
    shutil.copytree(ReferenceKit("qwen3-10").base, folder)
    (folder / "model.safetensors").unlink()
    config = Qwen3Config.from_pretrained(folder, hidden_size=32, intermediate_size=80)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_a_base_model_of_another_size(broken, narrow_base):
    refused(broken, SizeMismatchError, "64 .*hidden size 32", base_model=narrow_base)


def test_a_base_model_with_too_few_embeddings(broken):
    folder = broken / "base"
    config = Qwen3Config.from_pretrained(folder, vocab_size=300)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    refused(broken, SizeMismatchError, "465 text tokens .* embeddings for 300")


def test_low_rank_updates_for_another_base_model(narrow_base):
    kit = ReferenceKit("qwen3-10-lora")
    other = ReferenceKit("qwen2-6-4")
    with pytest.raises(SizeMismatchError, match=r"64 .*hidden size 32"):
        kit.load(base_model=narrow_base)
    assert kit.load(base_model=other.base).dimension == 48  # same sizes: nothing to see


# --- devices and dtypes


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta", 3.5, "cpu:x"])
def test_an_unknown_device(broken, device):
    with pytest.raises(ValueError, match=r"device=.*(expected one such as|pass device='cpu')"):
        load(broken, device=device)


@pytest.mark.parametrize("dtype", ["float99", "int4", torch.int64, 16, ""])
def test_an_unknown_dtype(broken, dtype):
    with pytest.raises(ValueError, match=r"expected one of float32, bfloat16, float16, .* int8"):
        load(broken, dtype=dtype)


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_computes_in_bfloat16_where_it_does_so_natively(qwen3, monkeypatch, native, dtype):
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: native)
    assert qwen3.load(dtype=None).dtype == dtype


def test_bfloat16_is_not_native_where_onednn_is_kept_to_older_instructions():
    """As by someone whose results have to be the same on an older processor."""
    program = "from llm2vec_gen_rag.backbone.device import cpu_dtype; print(cpu_dtype())"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == "torch.float32"


def test_an_accelerator_computes_in_what_the_checkpoint_states():
    cuda = torch.device("cuda")
    assert devices.pick_dtype(None, cuda, torch.float16) == torch.float16
    assert devices.pick_dtype(None, cuda, None) is None
    assert devices.pick_dtype("torch.bfloat16", cuda, torch.float16) == torch.bfloat16


# --- options of the loader


@pytest.mark.parametrize("device_map", ["cpu", {"": "cpu"}])
def test_a_device_map_reaches_the_backbone(qwen3, model, device_map):
    pytest.importorskip("accelerate")
    with pytest.raises(BaseModelError, match="nowhere"):
        qwen3.load(device_map="nowhere")
    placed = qwen3.load(device_map=device_map)
    np.testing.assert_allclose(placed.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert placed.decode(TEXTS, max_new_tokens=4) == model.decode(TEXTS, max_new_tokens=4)


def test_a_quantization_config_reaches_the_backbone(qwen3):
    with pytest.raises(ImportError, match="bitsandbytes"):
        qwen3.load(quantization_config=BitsAndBytesConfig(load_in_8bit=True))


def test_an_attention_implementation_reaches_the_backbone(qwen3):
    assert qwen3.load(attn_implementation="eager").backbone.config._attn_implementation == "eager"
