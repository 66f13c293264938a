"""A broken checkpoint gets one error that says what was found, what was expected, what to do."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from broken_checkpoints import edit_json, edit_tensors, edit_yaml, load, refused
from reference_kits import ReferenceKit

from llm2vec_gen_rag.errors import CheckpointError, SizeMismatchError, UnsupportedCheckpointError

NEEDED = [
    "run_config.yml",
    "tokenizer.json",
    "tokenizer_config.json",
    "encoder/config.json",
    "encoder/adapter_config.json",
    "encoder/adapter_model.safetensors",
    "reconstruction_mlp",
    "alignment_mlp",
]


# --- files


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file(broken, name):
    (broken / name).unlink()
    refused(broken, CheckpointError, name.split("/")[-1].split(".")[0])


@pytest.mark.parametrize("name", [*NEEDED, "encoder_decoder_config.json"])
@pytest.mark.parametrize("kept", [0.0, 0.6, 0.97])
def test_a_half_written_file(broken, name, kept):
    path = broken / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    if name == "run_config.yml" and kept == 0.97:
        return  # its last line alone is cut, and nothing reads that line
    refused(broken, CheckpointError, name.split("/")[-1].split(".")[0])


@pytest.mark.parametrize("name", ["reconstruction_mlp", "encoder/adapter_model.safetensors"])
def test_a_file_of_something_else(broken, name):
    (broken / name).write_bytes(b"<html>404 not found</html>" * 40)
    refused(broken, CheckpointError, name.split("/")[-1])


@pytest.mark.parametrize("text", ["- a\n- list", "just words", "a: [1, 2", "", "? [x, {}]\n: y"])
def test_a_run_config_that_is_no_mapping(broken, text):
    (broken / "run_config.yml").write_text(text)
    refused(broken, CheckpointError, "run_config.yml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"special_tokens": None}, "special_tokens"),
        ({"special_tokens": []}, "special_tokens"),
        ({"special_tokens": ["<question1>"] * 10}, "distinct"),
        ({"special_tokens": [f"<answer{n}>" for n in range(10)]}, "no added token '<answer0>'"),
        ({"special_tokens": [f"<question{n}>" for n in range(1, 6)]}, "token ids"),
        ({"torch_dtype": "float99"}, "torch_dtype"),
    ],
)
def test_a_run_config_at_odds_with_the_rest(broken, changes, said):
    (broken / "encoder_decoder_config.json").unlink()
    edit_yaml(broken / "run_config.yml", encoding_mode="last_2_tokens", **changes)
    with pytest.raises(CheckpointError, match=said):
        load(broken)


@pytest.mark.parametrize("mode", ["last_11_tokens", "last_0_tokens"])
def test_more_or_fewer_compression_tokens_than_there_can_be(broken, mode):
    edit_json(broken / "encoder_decoder_config.json", encoding_mode=mode)
    refused(broken, CheckpointError, r"the last \d+ of 10 response tokens; expected 1 to 10")


@pytest.mark.parametrize("mode", ["mean", "last_ten_tokens", "last_4_tokens_x", 4])
def test_an_unknown_encoding_mode(broken, mode):
    edit_json(broken / "encoder_decoder_config.json", encoding_mode=mode)
    refused(broken, CheckpointError, "expected 'last_<K>_tokens'")


@pytest.mark.parametrize(
    "text", ['{"query": "Ask: "}', '{"ask": {}}', "[]", '{"document": 3}', "{"]
)
def test_prompts_of_another_form(broken, text):
    (broken / "prompts.json").write_text(text)
    refused(broken, CheckpointError, "prompts.json")


# --- sizes


def test_a_row_too_few_in_the_adapter(broken):
    def shorten(tensors):
        name = next(name for name in tensors if name.endswith("delta"))
        tensors[name] = tensors[name][:9].clone()

    edit_tensors(broken / "encoder" / "adapter_model.safetensors", shorten)
    refused(broken, SizeMismatchError, "9 rows")


def write_head(path, inputs, outputs, **config):
    layer = torch.nn.Linear(inputs, outputs)
    state = {f"projection.{name}": tensor for name, tensor in layer.state_dict().items()}
    stated = {"input_dim": inputs, "output_dim": outputs, "dtype": "torch.float32"}
    stated |= {"size": 1, "pooling_mode": "linear"}
    torch.save({"state_dict": state, "config": {**stated, **config}}, path)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [("reconstruction_mlp", 32, 64), ("reconstruction_mlp", 64, 32), ("alignment_mlp", 32, 48)],
)
def test_a_head_of_another_size(broken, name, inputs, outputs):
    write_head(broken / name, inputs, outputs)
    refused(broken, SizeMismatchError, f"{name} has size 32 .* hidden size 64")


def test_a_head_that_is_not_what_it_states(broken):
    write_head(broken / "alignment_mlp", 64, 48, output_dim=50)
    refused(broken, SizeMismatchError, "states a layer of 64 -> 50")


# --- what this library does not compute


@pytest.mark.parametrize("config", [{"size": 10}, {"pooling_mode": "mean_linear"}])
def test_a_head_of_another_kind(broken, config):
    write_head(broken / "alignment_mlp", 64, 48, **config)
    with pytest.raises(UnsupportedCheckpointError, match="supported is one linear layer"):
        load(broken)


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "IA3"},
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_dora": True},
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "all"},
        {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "modules_to_save": ["lm_head"]},
        {"peft_type": None},
    ],
)
def test_another_kind_of_adapter(broken, changes):
    edit_json(broken / "encoder" / "adapter_config.json", **changes)
    refused(broken, UnsupportedCheckpointError, "supported are TRAINABLE_TOKENS, and plain LORA")


def test_an_adapter_with_other_tensors(broken):
    def add(tensors):
        tensors["base_model.model.layers.0.mlp.up_proj.lora_magnitude_vector"] = torch.ones(3)

    edit_tensors(broken / "encoder" / "adapter_model.safetensors", add)
    refused(broken, UnsupportedCheckpointError, "lora_magnitude_vector")


def test_an_adapter_without_response_tokens(broken):
    def drop(tensors):
        tensors.pop(next(name for name in tensors if name.endswith("delta")))

    edit_tensors(broken / "encoder" / "adapter_model.safetensors", drop)
    with pytest.raises(CheckpointError, match=r"holds 0 tensors named .*delta; expected one"):
        load(broken)


def test_half_a_low_rank_update(tmp_path):
    kit = ReferenceKit("qwen3-10-lora")
    shutil.copytree(kit.checkpoint, tmp_path / "checkpoint")

    def drop(tensors):
        tensors.pop("base_model.model.layers.1.mlp.up_proj.lora_B.weight")

    edit_tensors(tmp_path / "checkpoint" / "encoder" / "adapter_model.safetensors", drop)
    with pytest.raises(CheckpointError, match=r"lacks .*layers\.1\.mlp\.up_proj\.lora_B"):
        kit.load(tmp_path / "checkpoint")


def test_a_decoder_with_weights_of_its_own(broken):
    edit_json(broken / "encoder_decoder_config.json", save_decoder=True)
    with pytest.raises(UnsupportedCheckpointError, match="save_decoder"):
        load(broken)


# --- NaN


def test_nan_in_the_response_tokens(broken):
    def spoil(tensors):
        tensors[next(name for name in tensors if name.endswith("delta"))][3, 5] = np.nan

    edit_tensors(broken / "encoder" / "adapter_model.safetensors", spoil)
    refused(broken, CheckpointError, "trainable_tokens_delta in .* holds NaN or infinity")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_a_head(broken, value):
    path = broken / "reconstruction_mlp"
    head = torch.load(path, weights_only=True)
    head["state_dict"]["projection.bias"][7] = value
    torch.save(head, path)
    refused(broken, CheckpointError, "projection.bias in .* holds NaN or infinity")
