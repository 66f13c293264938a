"""What is shipped of a trained model: the same vectors, half the adapter, and no path of here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from safetensors.torch import load_file

from llm2vec_gen_rag import LLM2VecGen, smollm2
from llm2vec_gen_rag.backbone import load_base_tokenizer
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone
from llm2vec_gen_rag.checkpoint.run_config import read_run_config
from llm2vec_gen_rag.prompts import Prompts
from llm2vec_gen_rag.training.smollm2.bundle import write_bundled

BASE = ReferenceKit("llama-20-10").base
TEXTS = ["where do polar bears live", "In 1994!", "a longer text, of more than a few tokens", ""]
PROMPTS = Prompts(query={"retrieval": "Question: "}, document="Passage: ")
# how near a vector stays to float32's where each LLM is rounded in the same way
NEAR = {"float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.99}


@pytest.fixture(scope="module")
def trained():
    """Six response tokens and LoRA whose updates are not zero."""
    options = BackboneOptions()
    backbone = load_backbone(str(BASE), torch.device("cpu"), torch.float32, options)
    model = LLM2VecGen.initialise(
        backbone,
        load_base_tokenizer(str(BASE)),
        response_tokens=6,
        dimension=24,
        lora_rank=4,
    )
    generator = torch.Generator().manual_seed(2)
    for update in model.adapter.updates.values():
        update.up.data.normal_(std=0.05, generator=generator)
    model.prompts = PROMPTS
    return model


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    write_bundled(trained, folder)
    return folder


def load(folder, dtype="float32"):
    return LLM2VecGen.from_pretrained(folder, base_model=BASE, dtype=dtype, device="cpu")


def cosines(one, other):
    return (one.encode_query(TEXTS) * other.encode_query(TEXTS)).sum(axis=1)


@pytest.mark.parametrize("dtype", NEAR)
def test_the_shipped_adapter_embeds_as_the_trained_one_in_every_dtype(
    trained, folder, dtype, tmp_path
):
    trained.save_pretrained(tmp_path)
    as_trained, shipped = load(tmp_path, dtype), load(folder, dtype)
    assert cosines(as_trained, shipped).min() > NEAR[dtype]
    without = load(folder, dtype)
    for update in without.adapter.updates.values():
        update.up.data.zero_()
    assert cosines(as_trained, without).min() < 0.99  # so the updates count


def test_the_adapter_is_in_bfloat16_and_the_heads_are_exact(trained, folder):
    tensors = load_file(folder / "encoder" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    shipped = load(folder)
    for head in ("reconstruction", "alignment"):
        assert torch.equal(getattr(shipped, head).weight, getattr(trained, head).weight)
        assert torch.equal(getattr(shipped, head).bias, getattr(trained, head).bias)
    rounded = trained.response_tokens.bfloat16().float()
    assert torch.equal(shipped.response_tokens, rounded)


def test_the_llm_is_named_as_on_the_hub_and_no_file_names_a_path(folder):
    adapter = json.loads((folder / "encoder" / "adapter_config.json").read_text())
    config = json.loads((folder / "encoder" / "config.json").read_text())
    named = [read_run_config(folder)["model_name_or_path"], config["_name_or_path"]]
    assert {*named, adapter["base_model_name_or_path"]} == {smollm2.HUB_ID}
    assert read_run_config(folder)["torch_dtype"] == "bfloat16"
    for path in folder.rglob("*"):
        assert path.is_dir() or str(BASE.parent).encode() not in path.read_bytes()


def test_the_files_are_those_of_the_format_and_hold_no_white_space_twice(trained, folder, tmp_path):
    trained.save_pretrained(tmp_path)
    names = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {path.relative_to(folder) for path in folder.rglob("*")} == names
    saved, shipped = (path / "tokenizer.json" for path in (tmp_path, folder))
    assert json.loads(shipped.read_text()) == json.loads(saved.read_text())
    assert shipped.stat().st_size < saved.stat().st_size


def test_the_instructions_are_the_models_own(folder):
    assert load(folder).prompts == PROMPTS


def test_the_model_is_left_as_it_was_and_is_written_over_an_earlier_one(trained, folder):
    before, before_vectors = trained.trained_digest, load(folder).encode(TEXTS)
    write_bundled(trained, folder)
    assert trained.trained_digest == before
    np.testing.assert_array_equal(load(folder).encode(TEXTS), before_vectors)
