"""The published format, read and written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from broken_checkpoints import edit_json, edit_yaml
from reference_kits import ReferenceKit
from safetensors.torch import load_file, save_file

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.prompts import Prompts

TEXTS = ["What is the money of Japan?", "", "a <question1> b"]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def tensors(folder):
    return load_file(folder / "encoder" / "adapter_model.safetensors")


# --- what a save writes


@pytest.fixture(scope="module")
def saved(each_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "new" / "folder"
    each_model.save_pretrained(folder)
    return folder


def test_a_save_has_the_files_of_the_reference(each_kit, saved):
    assert files(saved) == files(each_kit.checkpoint)


def test_a_save_has_the_tensors_of_the_reference(each_kit, saved):
    expected = tensors(each_kit.checkpoint)
    found = tensors(saved)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("head", ["reconstruction_mlp", "alignment_mlp"])
def test_a_save_has_the_heads_of_the_reference(each_kit, saved, head):
    expected = torch.load(each_kit.checkpoint / head, weights_only=True)
    found = torch.load(saved / head, weights_only=True)
    assert found["config"] == expected["config"]
    assert list(found["state_dict"]) == list(expected["state_dict"])
    for name, tensor in expected["state_dict"].items():
        assert found["state_dict"][name].dtype == tensor.dtype
        assert torch.equal(found["state_dict"][name], tensor), name


@pytest.mark.parametrize("name", ["encoder/config.json", "encoder_decoder_config.json"])
def test_a_save_has_the_configs_of_the_reference(each_kit, saved, name):
    expected = json.loads((each_kit.checkpoint / name).read_text())
    assert json.loads((saved / name).read_text()) == expected


def test_a_save_names_the_base_model_that_was_used(each_kit, saved):
    base = str(each_kit.base.resolve())
    run_config = yaml.safe_load((each_kit.checkpoint / "run_config.yml").read_text())
    assert yaml.safe_load((saved / "run_config.yml").read_text()) == {
        **run_config,
        "model_name_or_path": base,
    }
    adapter = json.loads((saved / "encoder" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == base


def test_a_save_lays_out_the_tokenizer_as_transformers_4_does(each_kit, saved):
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        expected = json.loads((each_kit.checkpoint / name).read_text())
        found = json.loads((saved / name).read_text())
        names = [
            [token if isinstance(token, str) else token["content"] for token in tokens]
            for tokens in (
                found.pop("additional_special_tokens"),
                expected.pop("additional_special_tokens"),
            )
        ]
        assert names[0] == names[1]
        assert found == expected


# --- what is saved reloads to the same


def test_a_save_reloads_to_identical_vectors(each_model, saved):
    again = LLM2VecGen.from_pretrained(saved, dtype="float32", device="cpu")
    assert again.fingerprint == each_model.fingerprint
    assert np.array_equal(again.encode(TEXTS), each_model.encode(TEXTS))
    assert again.decode(TEXTS, max_new_tokens=8) == each_model.decode(TEXTS, max_new_tokens=8)


def test_a_save_over_the_folder_it_was_loaded_from(broken):
    load = {"dtype": "float32", "device": "cpu", "base_model": broken / "base"}
    first = LLM2VecGen.from_pretrained(broken, **load)
    before = first.encode(TEXTS)
    with torch.no_grad():
        first.response_tokens += 0.5
    first.save_pretrained(broken)
    second = LLM2VecGen.from_pretrained(broken, dtype="float32", device="cpu")
    assert np.array_equal(second.encode(TEXTS), first.encode(TEXTS))
    assert not np.allclose(second.encode(TEXTS), before, atol=1e-3)
    assert not list(broken.rglob("*.partial"))


def test_trained_low_rank_updates_are_saved(tmp_path):
    kit = ReferenceKit("qwen3-10-lora")
    first = kit.load()
    with torch.no_grad():
        for parameter in first.adapter.parameters():
            parameter *= 1.5
    first.save_pretrained(tmp_path)
    again = kit.load(tmp_path)
    assert np.array_equal(again.encode(TEXTS), first.encode(TEXTS))
    assert again.fingerprint == first.fingerprint != kit.load().fingerprint


def store_in(dtype, checkpoint):
    """Round every tensor of a checkpoint to a dtype."""
    path = checkpoint / "encoder" / "adapter_model.safetensors"
    save_file({name: t.to(dtype) for name, t in load_file(path).items()}, path)
    for name in ("reconstruction_mlp", "alignment_mlp"):
        head = torch.load(checkpoint / name, weights_only=True)
        state = {key: value.to(dtype) for key, value in head["state_dict"].items()}
        config = {**head["config"], "dtype": str(dtype)}
        torch.save({"state_dict": state, "config": config}, checkpoint / name)


def test_a_checkpoint_stored_in_bfloat16_stays_so(broken, tmp_path, qwen3):
    store_in(torch.bfloat16, broken)
    model = qwen3.load(broken)
    model.save_pretrained(tmp_path / "again")
    assert {t.dtype for t in tensors(tmp_path / "again").values()} == {torch.bfloat16}
    assert np.array_equal(qwen3.load(tmp_path / "again").encode(TEXTS), model.encode(TEXTS))


def test_what_bfloat16_would_round_is_stored_in_float32(broken, tmp_path, qwen3):
    store_in(torch.bfloat16, broken)
    model = qwen3.load(broken)
    with torch.no_grad():
        model.response_tokens += 1e-4
        model.alignment.weight *= 1.0001
    model.save_pretrained(tmp_path / "again")
    assert np.array_equal(qwen3.load(tmp_path / "again").encode(TEXTS), model.encode(TEXTS))


def test_a_save_whose_source_is_gone_says_so(broken, tmp_path, qwen3):
    model = qwen3.load(broken)
    shutil.rmtree(broken)
    with pytest.raises(Exception, match=r"adapter_model.safetensors is missing"):
        model.save_pretrained(tmp_path / "again")


# --- other checkpoints than the four


def test_without_a_copy_of_the_embedding(broken, qwen3, model):
    path = broken / "encoder" / "adapter_model.safetensors"
    kept = {name: t for name, t in load_file(path).items() if "delta" in name}
    save_file(kept, path)
    assert np.array_equal(qwen3.load(broken).encode(TEXTS), model.encode(TEXTS))


def test_rows_in_another_order_than_the_tokens(broken, tmp_path, qwen3, model):
    path = broken / "encoder" / "adapter_model.safetensors"
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    stored = load_file(path)
    delta = next(name for name in stored if name.endswith("delta"))
    stored[delta] = stored[delta][order].clone()
    save_file(stored, path)
    config = json.loads((broken / "encoder" / "adapter_config.json").read_text())
    indices = [config["token_indices"][row] for row in order]
    edit_json(broken / "encoder" / "adapter_config.json", token_indices=indices)
    shuffled = qwen3.load(broken)
    assert np.array_equal(shuffled.encode(TEXTS), model.encode(TEXTS))
    shuffled.save_pretrained(tmp_path / "again")
    assert torch.equal(tensors(tmp_path / "again")[delta], stored[delta])


@pytest.mark.parametrize("kept", [1, 4, 10])
def test_any_number_of_compression_tokens(broken, qwen3, model, kept):
    edit_json(broken / "encoder_decoder_config.json", encoding_mode=f"last_{kept}_tokens")
    found = qwen3.load(broken)
    assert found.compression_tokens == kept
    assert (kept == 10) == np.allclose(found.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert len(found.decode(TEXTS, max_new_tokens=2)) == len(TEXTS)


def test_without_encoder_decoder_config_the_run_config_counts(broken, qwen3):
    (broken / "encoder_decoder_config.json").unlink()
    edit_yaml(broken / "run_config.yml", encoding_mode="last_3_tokens")
    assert qwen3.load(broken).compression_tokens == 3


def test_a_run_config_full_of_python_objects_is_read_as_data(broken, qwen3, model, tmp_path):
    path = broken / "run_config.yml"
    canary = tmp_path / "canary"
    path.write_text(
        path.read_text()
        + "strategy: !!python/object/apply:transformers.trainer_utils.SaveStrategy [steps]\n"
        + f"harm: !!python/object/apply:os.system ['touch {canary}']\n"
        + "odd: !!python/tuple [1, !!python/object:builtins.object {a: 1}]\n"
        + "dtype: !!python/name:torch.bfloat16 ''\n"
        + "when: 2026-02-30x\nnan: .nan\n"
    )
    loaded = qwen3.load(broken)
    assert not canary.exists()
    assert np.array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    loaded.save_pretrained(tmp_path / "again")
    run_config = yaml.safe_load((tmp_path / "again" / "run_config.yml").read_text())
    assert run_config["strategy"] == ["steps"]
    assert run_config["dtype"] == "torch.bfloat16"


@pytest.mark.parametrize(
    ("changes", "plain"),
    [
        ({"use_rslora": True}, {"lora_alpha": 16}),  # 8 / sqrt(4) against 16 / 4
        ({"alpha_pattern": {"q_proj": 16}, "lora_alpha": 16}, {"lora_alpha": 16}),
        ({"rank_pattern": {".*_proj": 2}}, {"lora_alpha": 16}),
    ],
)
def test_scaling_of_low_rank_updates(tmp_path, changes, plain):
    kit = ReferenceKit("qwen3-10-lora")
    vectors = []
    for name, change in (("changed", changes), ("plain", plain)):
        shutil.copytree(kit.checkpoint, tmp_path / name)
        edit_json(tmp_path / name / "encoder" / "adapter_config.json", **change)
        vectors.append(kit.load(tmp_path / name).encode(TEXTS))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not np.allclose(vectors[0], kit.load().encode(TEXTS), atol=1e-3)


def test_a_base_inside_the_checkpoint_moves_with_it(broken, tmp_path, model):
    edit_yaml(broken / "run_config.yml", model_name_or_path="./base")
    moved = shutil.move(broken, tmp_path / "elsewhere")
    loaded = LLM2VecGen.from_pretrained(moved, dtype="float32", device="cpu")
    assert np.array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    loaded.save_pretrained(moved)
    assert "./base" in (tmp_path / "elsewhere" / "run_config.yml").read_text()


def test_prompts_travel_with_the_checkpoint(broken, tmp_path, qwen3):
    prompts = Prompts(query={"retrieval": "Ask: ", "riddle": "Guess: "}, document="")
    prompts.save(broken)
    loaded = qwen3.load(broken)
    assert loaded.prompts == prompts
    loaded.save_pretrained(tmp_path / "again")
    again = qwen3.load(tmp_path / "again")
    assert again.prompts == prompts
    asked = again.encode_query("what", task="riddle")
    assert np.array_equal(asked, again.encode("what", instruction="Guess: "))
    np.testing.assert_allclose(asked, again.encode("Guess: what"), atol=1e-6)
    assert np.array_equal(again.encode_document("what"), again.encode("what"))
    again.prompts = Prompts()
    again.save_pretrained(tmp_path / "again")
    assert qwen3.load(tmp_path / "again").prompts == Prompts()
