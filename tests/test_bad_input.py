"""Each bad input gets one error that says what was found, what was expected, and what to do."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
import yaml
from reference_kits import ReferenceKit
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Qwen3Config

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.checkpoint import location as hub
from llm2vec_gen_rag.errors import (
    BaseModelError,
    CheckpointError,
    NonFiniteError,
    SizeMismatchError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)

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
REMEDY = r"[Dd]ownload|base_model=|[Uu]se |[Mm]end|get the checkpoint again|[Ii]nstall|[Pp]ass "


def load(folder, **options):
    options = {"base_model": folder / "base", "dtype": "float32", "device": "cpu", **options}
    return LLM2VecGen.from_pretrained(folder, **options)


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_yaml(path, **changes):
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def edit_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def refused(folder, kind, said, **options):
    """Assert that loading raises this kind of error, which says this and what to do."""
    with pytest.raises(kind, match=said) as caught:
        load(folder, **options)
    assert isinstance(caught.value, kind)
    caught.match(REMEDY)


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


def test_low_rank_updates_for_another_base_model(narrow_base):
    kit = ReferenceKit("qwen3-10-lora")
    other = ReferenceKit("qwen2-6-4")
    with pytest.raises(SizeMismatchError, match=r"64 .*hidden size 32"):
        kit.load(base_model=narrow_base)
    assert kit.load(base_model=other.base).dimension == 48  # same sizes: nothing to see


def test_a_low_rank_update_of_a_layer_that_is_not_there(tmp_path):
    kit = ReferenceKit("qwen3-10-lora")
    shutil.copytree(kit.checkpoint, tmp_path / "checkpoint")

    def rename(tensors):
        for name in [name for name in tensors if "layers.2" in name]:
            tensors[name.replace("layers.2", "layers.7")] = tensors.pop(name)

    edit_tensors(tmp_path / "checkpoint" / "encoder" / "adapter_model.safetensors", rename)
    with pytest.raises(SizeMismatchError, match=r"layers\.7.*base_model="):
        kit.load(tmp_path / "checkpoint")


def test_a_base_model_with_too_few_embeddings(broken):
    folder = broken / "base"
    config = Qwen3Config.from_pretrained(folder, vocab_size=300)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    refused(broken, SizeMismatchError, "465 text tokens .* embeddings for 300")


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


@pytest.mark.parametrize("config", [{"size": 10}, {"pooling_mode": "mean_linear"}])
def test_a_head_of_another_kind(broken, config):
    write_head(broken / "alignment_mlp", 64, 48, **config)
    with pytest.raises(UnsupportedCheckpointError, match="supported is one linear layer"):
        load(broken)


def test_a_row_too_few_in_the_adapter(broken):
    def shorten(tensors):
        name = next(name for name in tensors if name.endswith("delta"))
        tensors[name] = tensors[name][:9].clone()

    edit_tensors(broken / "encoder" / "adapter_model.safetensors", shorten)
    refused(broken, SizeMismatchError, "9 rows")


# --- the base model


def test_a_base_model_that_is_nowhere(broken):
    said = r"'tiny/qwen3-base' cannot be loaded .*pass base_model="
    with pytest.raises(BaseModelError, match=said):
        load(broken, base_model=None)


@pytest.mark.parametrize("stated", [None, "", 7])
def test_a_base_model_that_is_not_stated(broken, stated):
    edit_yaml(broken / "run_config.yml", model_name_or_path=stated)
    refused(broken, CheckpointError, "model_name_or_path .* base_model=", base_model=None)


def test_a_base_model_outside_the_checkpoint(broken):
    shutil.move(broken / "base", broken.parent / "base")
    edit_yaml(broken / "run_config.yml", model_name_or_path="../base")
    refused(broken, CheckpointError, "leaves the checkpoint's folder", base_model=None)


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


# --- code in files


class Harm:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary), "w")


@pytest.mark.parametrize("form", ["zip", "pickle"])
@pytest.mark.parametrize("name", ["reconstruction_mlp", "alignment_mlp"])
def test_a_head_whose_pickle_runs_code_is_refused(broken, tmp_path, name, form):
    canary = tmp_path / "canary"
    content = {"state_dict": {}, "config": Harm(canary)}
    if form == "zip":
        torch.save(content, broken / name)
    else:
        (broken / name).write_bytes(pickle.dumps(content, protocol=2))
    refused(broken, UnsafeFileError, f"{name} .*nothing in it was run")
    assert not canary.exists()


def test_a_head_that_is_a_whole_module_is_refused(broken):
    torch.save(torch.nn.Linear(64, 48), broken / "alignment_mlp")
    refused(broken, UnsafeFileError, "alignment_mlp")


def test_a_head_with_extra_files_in_its_archive_is_read_as_tensors_alone(broken, model):
    with zipfile.ZipFile(broken / "alignment_mlp", "a") as archive:
        archive.writestr("alignment_mlp/code/run.py", "raise SystemExit")
    assert np.array_equal(load(broken).encode("x"), model.encode("x"))


# --- what this library does not compute


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


def test_nan_in_the_base_model(broken):
    path = broken / "base" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = np.nan
    save_file(tensors, path, metadata={"format": "pt"})
    spoilt = load(broken)
    for call in (spoilt.encode, spoilt.decode):
        with pytest.raises(NonFiniteError, match=r"computed NaN or infinity in torch\.float32"):
            call("x")


# --- names


def test_a_checkpoint_that_is_nowhere():
    for name in ("nobody/nothing", "/no/such/folder", "", "a b c"):
        with pytest.raises(
            CheckpointError, match="neither a folder here nor a checkpoint"
        ) as caught:
            LLM2VecGen.from_pretrained(name)
        caught.match("Expected a folder in the published format, a hub id such as .*, or 'almanac'")


def test_an_installation_without_the_almanac(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "_ALMANAC_FOLDER", tmp_path / "gone")
    with pytest.raises(CheckpointError, match=r"not in this installation .*make almanac"):
        LLM2VecGen.from_pretrained("almanac")


def test_an_option_that_does_not_exist(broken):
    with pytest.raises(TypeError, match="devise"):
        load(broken, devise="cpu")


# --- devices and dtypes


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta", 3.5, "cpu:x"])
def test_an_unknown_device(broken, device):
    with pytest.raises(ValueError, match=r"device=.*(expected one such as|pass device='cpu')"):
        load(broken, device=device)


@pytest.mark.parametrize("dtype", ["float99", "int4", torch.int64, 16, ""])
def test_an_unknown_dtype(broken, dtype):
    with pytest.raises(ValueError, match=r"expected one of float32, bfloat16, float16, .* int8"):
        load(broken, dtype=dtype)


# --- texts and numbers

CALLS = ["encode", "encode_query", "encode_document", "decode", "answer"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (None, "texts is None"),
        (3, "texts is 3"),
        (b"bytes", "texts is b'bytes'"),
        ({"a": "b"}, "texts is {"),
        (["a", None], r"texts\[1\] is None"),
        (["a", 2.5], r"texts\[1\] is 2.5"),
        (["a", ["b"]], r"texts\[1\] is \['b'\]"),
        ([["a"]], r"texts\[0\] is \['a'\]"),
        ([b"a"], r"texts\[0\] is b'a'"),
    ],
)
def test_what_is_no_text(model, call, texts, said):
    with pytest.raises(ValueError, match=rf"{said}.*expected a string"):
        getattr(model, call)(texts)


@pytest.mark.parametrize("max_length", [10, 9, 1, 0, -5, None, 2.5, True])
def test_no_room_for_text(model, max_length):
    with pytest.raises(ValueError, match=r"max_length is .*(pass at least 11|at least 1)"):
        model.encode("x", max_length=max_length)
    with pytest.raises(ValueError, match="max_length is"):
        model.decode("x", max_length=max_length)


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True])
def test_numbers_that_count_nothing(model, number):
    with pytest.raises(ValueError, match="batch_size is"):
        model.encode("x", batch_size=number)
    with pytest.raises(ValueError, match="max_new_tokens is"):
        model.decode("x", max_new_tokens=number)
    with pytest.raises(ValueError, match="max_new_tokens is"):
        model.answer("x", max_new_tokens=number)


@pytest.mark.parametrize("instruction", [None, 3, ["a"]])
def test_an_instruction_that_is_no_text(model, instruction):
    for call in (model.encode, model.decode, model.answer):
        with pytest.raises(ValueError, match=r"instruction is .*expected a string"):
            call("x", instruction=instruction)


def test_an_unknown_task(model):
    with pytest.raises(ValueError, match=r"unknown task 'riddles'; known tasks: .*retrieval"):
        model.encode_query("x", task="riddles")


def test_an_option_that_encode_does_not_have(model):
    for call in (model.encode, model.encode_query, model.encode_document, model.decode):
        with pytest.raises(TypeError, match="normalise"):
            call("x", normalise=True)
