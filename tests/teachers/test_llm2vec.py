"""LLM2Vec encoders: bidirectional attention, both adapters, the mean over the text's tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from llm2vec_layout import expected_vector, write_llm2vec
from reference_kits import ReferenceKit
from safetensors.torch import load_file, save_file

from llm2vec_gen_rag.checkpoint.tokenizer_files import load_tokenizer
from llm2vec_gen_rag.errors import BaseModelError, TeacherError
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

BOS = {"llama-20-10": 1, "qwen2-6-4": 0, "qwen3-10": 0}  # tokens that each kit puts in front
TEXTS = [
    "polar bears",
    "where do polar bears live in the winter, and why?",
    "ß <|im_end|> 北極",
    "a",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("llm2vec")


@pytest.fixture(scope="module")
def name(folder):
    return write_llm2vec(folder)


@pytest.fixture
def copied(name, tmp_path):
    """The name of an encoder that a test may damage."""
    for adapter in (name, mntp(name)):
        shutil.copytree(adapter, tmp_path / Path(adapter).name)
    return str(tmp_path / Path(name).name)


def mntp(name):
    return name.removesuffix("-unsup-simcse")


def load(name, **options):
    return LLM2VecTeacher.load(name, device="cpu", dtype="float32", **options)


@pytest.mark.parametrize("kit", BOS)
def test_vectors_are_those_of_the_layers_spelled_out(tmp_path, kit):
    name = write_llm2vec(tmp_path, kit)
    ids = TextTokenizer(load_tokenizer(ReferenceKit(kit).base)).token_ids(TEXTS)
    expected = [expected_vector(name, kit, row, bos=BOS[kit]) for row in ids]
    vectors = load(name).embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_text_gets_the_same_vector_in_any_batch(name):
    teacher = load(name)
    texts = [*TEXTS, "", *(f"{text} " * 40 for text in TEXTS)]
    together = teacher.embed(texts)
    np.testing.assert_allclose(
        together, np.concatenate([teacher.embed([text]) for text in texts]), atol=1e-5
    )
    np.testing.assert_allclose(together, teacher.embed(texts[::-1])[::-1], atol=1e-5)
    assert not together[len(TEXTS)].any()
    assert teacher.embed([]).shape == (0, teacher.dimension)


def test_a_long_text_is_truncated_to_512_tokens(name):
    teacher = load(name)
    long = "a b c d e f " * 200
    ids = TextTokenizer(load_tokenizer(Path(name))).token_ids([long], max_tokens=512)[0]
    assert len(ids) == 512
    expected = expected_vector(name, "qwen3-10", ids, bos=0)
    np.testing.assert_allclose(teacher.embed([long])[0], expected, atol=1e-5)


def test_another_folder_may_hold_the_llm(copied):
    path = Path(mntp(copied)) / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": "somewhere/else"}))
    with pytest.raises(
        BaseModelError, match=r"'somewhere/else'.*teacher_base_model in a recipe, base_"
    ):
        load(copied)
    teacher = load(copied, base_model=str(ReferenceKit("qwen3-10").base))
    path.write_text(json.dumps(config))
    np.testing.assert_array_equal(teacher.embed(TEXTS), load(copied + "/").embed(TEXTS))


def test_equal_fingerprints_are_equal_weights(name, folder):
    other = write_llm2vec(folder / "other", "qwen3-10")
    path = Path(other) / "adapter_model.safetensors"
    save_file({key: tensor * 1.01 for key, tensor in load_file(path).items()}, path)
    assert load(name).fingerprint == load(name).fingerprint != load(other).fingerprint


@pytest.mark.parametrize("ending", ["-mntp", "-mntp-supervised", ""])
def test_a_name_that_is_no_unsupervised_encoder_is_refused(name, ending):
    with pytest.raises(TeacherError, match="ends in -mntp-unsup-simcse, beside its MNTP"):
        load(name.removesuffix("-mntp-unsup-simcse") + ending)


def test_an_encoder_that_is_nowhere_is_reported(tmp_path):
    with pytest.raises(TeacherError, match=r"'.*None-mntp-unsup-simcse' is neither a folder here"):
        load(str(tmp_path / "None-mntp-unsup-simcse"))


def test_an_mntp_adapter_that_is_not_beside_it_is_reported(copied):
    shutil.rmtree(mntp(copied))
    with pytest.raises(TeacherError, match=r"Tiny-mntp' is neither a folder here"):
        load(copied)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_reported(copied, file):
    (Path(copied) / file).unlink()
    with pytest.raises(TeacherError, match=f"{file} is missing"):
        load(copied)


def test_a_half_written_adapter_is_reported(copied):
    path = Path(copied) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TeacherError, match=r"unsup-simcse cannot be put on the LLM .*half-written"):
        load(copied)


def test_an_adapter_of_another_size_is_reported(copied):
    path = Path(copied) / "adapter_model.safetensors"
    save_file({key: tensor[:, :-1].contiguous() for key, tensor in load_file(path).items()}, path)
    with pytest.raises(TeacherError, match="unsup-simcse cannot be put on the LLM"):
        load(copied)


@pytest.mark.parametrize("damage", ["a layer lacks", "other names"])
def test_an_adapter_that_peft_would_apply_in_part_is_refused(copied, damage):
    path = Path(copied) / "adapter_model.safetensors"
    tensors = load_file(path)
    if damage == "a layer lacks":
        tensors = {key: tensor for key, tensor in tensors.items() if "layers.1.mlp" not in key}
    else:  # of an LLM with its output layer
        tensors = {
            key.replace("model.layers", "model.model.layers"): t for key, t in tensors.items()
        }
    save_file(tensors, path)
    with pytest.raises(
        TeacherError, match=r"the LLM do not match: \d+ tensors, such as 'base_model"
    ):
        load(copied)


def test_a_pooling_that_is_not_computed_is_refused(copied):
    path = Path(copied) / "llm2vec_config.json"
    path.write_text('{"pooling_mode": "mean", "max_length": 512}')
    load(copied)
    path.write_text('{"pooling_mode": "eos_token"}')
    with pytest.raises(TeacherError, match="asks for pooling 'eos_token'; supported is 'mean'"):
        load(copied)


def test_an_adapter_without_its_llm_is_reported(copied):
    path = Path(mntp(copied)) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(
        TeacherError, match=r"base_model_name_or_path in .* is None; expected the LLM"
    ):
        load(copied)
