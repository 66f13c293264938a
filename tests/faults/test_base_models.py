"""A base model, an option or a file that cannot be used is an error of ours that names it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from broken_checkpoints import edit_json, edit_tensors, load, refused
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from llm2vec_gen_rag.backbone import device as devices
from llm2vec_gen_rag.errors import BaseModelError, CheckpointError, UnsafeFileError

NOT_AN_OBJECT = ["null", "[]", "[1]", "7", '"x"', "{", ""]


# weights and config of one LLM


def test_weights_that_the_config_does_not_use(broken):
    kept = {"num_hidden_layers": 1, "layer_types": ["full_attention"]}
    edit_json(broken / "base" / "config.json", **kept)
    refused(broken, BaseModelError, r"22 weights .*does not use.*model\.layers\.1")
    refused(broken, BaseModelError, "does not use", dtype="int8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "llama"}, r"6 weights .*k_norm"),
        ({"vocab_size": 500}, r"embed_tokens.weight.*\(486, 64\).*\(500, 64\)"),
        ({"head_dim": 8}, r"k_norm.weight.*\(16,\).*\(8,\)"),
        ({"attention_bias": True}, r"lacks 12 .*k_proj\.bias"),
        ({"tie_word_embeddings": False}, r"lacks 1 .*lm_head"),
    ],
)
def test_a_config_of_another_llm(broken, change, said):
    edit_json(broken / "base" / "config.json", **change)
    refused(broken, BaseModelError, said)


def test_a_weight_of_another_task(broken):
    def add_head(tensors):
        tensors["score.weight"] = torch.zeros(2, 64)

    edit_tensors(broken / "base" / "model.safetensors", add_head)
    refused(broken, BaseModelError, r"score\.weight.*AutoModelForCausalLM")
    AutoModelForCausalLM.from_pretrained(broken / "base").save_pretrained(broken / "base")
    assert load(broken).encode("x").shape


def test_an_output_matrix_that_the_config_does_not_use(broken):
    def add_head(tensors):
        tensors["lm_head.weight"] = 2 * tensors["model.embed_tokens.weight"]

    edit_tensors(broken / "base" / "model.safetensors", add_head)
    refused(broken, BaseModelError, "output matrix of its own.*tie_word_embeddings: true")


def test_a_config_that_asks_for_tuples_changes_nothing(broken, model):
    edit_json(broken / "base" / "config.json", return_dict=False)
    loaded = load(broken)
    for compute in (type(model).encode, partial(type(model).decode, max_new_tokens=3)):
        np.testing.assert_array_equal(compute(loaded, "x"), compute(model, "x"))


def test_what_old_files_hold_beside_the_weights_is_no_fault(broken, model):
    def add_buffers(tensors):
        for layer in range(3):
            tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)

    edit_tensors(broken / "base" / "model.safetensors", add_buffers)
    np.testing.assert_array_equal(load(broken).encode("x"), model.encode("x"))


def test_an_untied_output_matrix_equal_to_the_tied_one_is_no_fault(broken, model):
    def add_head(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    edit_tensors(broken / "base" / "model.safetensors", add_head)
    np.testing.assert_array_equal(load(broken).encode("x"), model.encode("x"))


# files


@pytest.mark.parametrize("content", NOT_AN_OBJECT)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_config_of_the_base_model_that_is_no_object(broken, name, content):
    (broken / "base" / name).write_text(content)
    refused(broken, BaseModelError, rf"base.{name} (holds|is not JSON)")


@pytest.mark.parametrize("content", NOT_AN_OBJECT)
@pytest.mark.parametrize(
    "name", ["config.json", "encoder/config.json", "encoder/adapter_config.json"]
)
def test_a_config_of_the_checkpoint_that_is_no_object(broken, name, content):
    (broken / name).write_text(content)
    refused(broken, CheckpointError, "JSON|holds a|cannot be read")


@pytest.mark.parametrize("ends", ["x", [None], {}, 1.5])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_an_end_token_that_is_no_token_id(broken, name, ends):
    edit_json(broken / "base" / name, eos_token_id=ends)
    refused(broken, BaseModelError, rf"eos_token_id in .*{name} is")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rope_scaling": {"rope_type": "weird", "factor": 2.0}}, "not know rope_type 'weird'"),
        ({"rope_parameters": {"rope_type": "odd", "rope_theta": 1e4}}, "not know rope_type 'odd'"),
        ({"hidden_act": "weird"}, "does not know hidden_act 'weird'"),
        ({"rope_scaling": "x"}, "rope_"),
        ({"num_hidden_layers": 1}, "num_hidden_layers|does not use"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"model_type": "weird"}, "`weird`"),
        ({"quantization_config": []}, "cannot be loaded"),
        ({"quantization_config": {"quant_method": "weird"}}, "quant_method in .*json is 'weird'"),
        ({"quantization_config": {"quant_method": ["weird"]}}, "quant_method in .* is .'weird'"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            "bitsandbytes",
        ),
    ],
)
def test_a_config_that_transformers_cannot_read(broken, change, said):
    edit_json(broken / "base" / "config.json", **change)
    refused(broken, BaseModelError, said)


class Harm:
    """What a pickle with code in it holds."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


def save_zip(path, weights):
    torch.save({**weights, "x": Harm()}, path / "pytorch_model.bin")


def save_legacy(path, weights):
    target = path / "pytorch_model.bin"
    torch.save({**weights, "x": Harm()}, target, _use_new_zipfile_serialization=False)


def save_plain(path, _):
    (path / "pytorch_model.bin").write_bytes(pickle.dumps(Harm()))


def save_shard(path, weights):
    torch.save({**weights, "x": Harm()}, path / "shard.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "shard.bin")}
    (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_plain, save_shard])
def test_weights_that_are_a_pickle_with_code(broken, save, monkeypatch):
    monkeypatch.chdir(broken)
    weights = load_file(broken / "base" / "model.safetensors")
    (broken / "base" / "model.safetensors").unlink()
    save(broken / "base", weights)
    refused(broken, UnsafeFileError, "nothing in it was run", trust_remote_code=True)
    assert not (broken / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"abc" * 100, b"PK\x03\x04" + b"\0" * 100])
def test_weights_that_are_no_pickle_at_all(broken, content):
    (broken / "base" / "model.safetensors").unlink()
    (broken / "base" / "pytorch_model.bin").write_bytes(content)
    refused(broken, (BaseModelError, UnsafeFileError), "base model")


# options


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"attn_implementation": "flash_attention_2"}, "attn_implementation='flash_attention_2'"),
        ({"attn_implementation": "weird"}, "attn_implementation='weird'"),
        ({"attn_implementation": 7}, "attn_implementation=7"),
        (
            {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)},
            "quantization_config=Bits",
        ),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config={'load_in_4bit"),
        ({"quantization_config": 7}, "quantization_config=7"),
        ({"device_map": {}}, "device_map={}"),
        (
            {"device_map": {"weird": "cpu"}},
            "device_map names 'weird', which a Qwen3ForCausalLM has",
        ),
        ({"device_map": {"": "cpu", "model.layers.3": "cpu"}}, "names 'model.layers.3', which a"),
        ({"device_map": {"model.layers": "cpu"}}, "no device for 'model.embed_tokens.weight'"),
        ({"quantization_config": {"quant_method": "weird"}}, "quantization_config={'quant_method'"),
        ({"device_map": {"": "disk"}}, "device_map={'': 'disk'} .*input embedding"),
        ({"device_map": {"model": "cpu", "lm_head": "disk"}}, "'lm_head': 'disk'} .*output matrix"),
    ],
)
def test_an_option_that_this_machine_cannot_meet(broken, option, said):
    refused(broken, BaseModelError, said, device=None, **option)


@pytest.mark.parametrize(
    "device_map",
    ["cuda", "cuda:0", "meta", "mps", "disk", "weird", 7]
    + [{"": place} for place in ("cuda", 0, "meta", torch.device("meta"), "auto", None)],
)
def test_a_device_map_to_a_device_that_is_not_here(broken, device_map, monkeypatch):
    monkeypatch.setattr(devices, "_exists", lambda kind, index=None: kind == "cpu")
    said = r"device_map puts layers on .*not available"
    refused(broken, BaseModelError, said, device=None, device_map=device_map)


@pytest.mark.parametrize("device_map", ["auto", "cpu", "sequential", {"": "cpu"}, {"model": "cpu"}])
def test_a_device_map_to_what_is_here_changes_no_vector(broken, device_map, model):
    loaded = load(broken, device=None, device_map=device_map)
    np.testing.assert_allclose(loaded.encode("x"), model.encode("x"), atol=1e-5)


def test_a_folder_without_anything(broken):
    shutil.rmtree(broken / "base")
    (broken / "base").mkdir()
    refused(broken, BaseModelError, "cannot be loaded")


def test_a_missing_package_is_an_import_error_too(broken):
    with pytest.raises(ImportError, match="bitsandbytes") as caught:
        load(broken, quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    assert isinstance(caught.value, BaseModelError)
