"""A path is a folder of the user's, whatever bundled model or hub repository has the same name."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.errors import BaseModelError, CheckpointError, StorageError
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding
from llm2vec_gen_rag.parallel.pool import EncoderPool

ON_CPU = {"dtype": "float32", "device": "cpu"}
BUNDLED = 256  # the almanac's dimension


@pytest.fixture
def here(qwen3, tmp_path, monkeypatch):
    """A working folder that holds a checkpoint named as the bundled one is, and its base."""
    shutil.copytree(qwen3.checkpoint, tmp_path / "almanac")
    shutil.copytree(qwen3.base, tmp_path / "org" / "base")
    monkeypatch.chdir(tmp_path)
    return {"base_model": Path("org/base"), **ON_CPU}


AS_PATHS = [Path("almanac"), Path("./almanac"), "./almanac", "almanac/", "~/almanac"]
IDS = ["Path", "dotted-Path", "dotted", "slashed", "home"]


@pytest.mark.parametrize("name", AS_PATHS, ids=IDS)
def test_a_path_is_the_folder_and_is_found_again_by_its_name(
    here, name, model, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    loaded = LLM2VecGen.from_pretrained(name, **here)
    assert loaded.fingerprint == model.fingerprint
    again = LLM2VecGen.from_pretrained(loaded.name, **here)
    assert again.fingerprint == model.fingerprint


def test_the_word_alone_is_the_bundled_model(here, model):
    bundled = LLM2VecGen.from_pretrained("almanac", **ON_CPU)
    assert bundled.name == "almanac"
    assert bundled.dimension == BUNDLED != model.dimension


@pytest.mark.parametrize("adapter", [LLM2VecGenEmbeddings, LLM2VecGenEmbedding])
def test_an_adapter_and_its_pickled_copy_load_the_folder(here, adapter, model):
    embeddings = adapter(model_name=Path("almanac"), **here)
    assert embeddings.model.dimension == model.dimension
    copy = pickle.loads(pickle.dumps(embeddings))
    assert copy.loaded_model().fingerprint == model.fingerprint
    around = adapter(model=LLM2VecGen.from_pretrained(Path("almanac"), **here))
    assert pickle.loads(pickle.dumps(around)).loaded_model().fingerprint == model.fingerprint


@pytest.mark.slow
def test_a_pool_loads_the_folder(here, model):
    base = here["base_model"]
    with EncoderPool(Path("almanac"), devices=["cpu"], base_model=base, dtype="float32") as pool:
        assert pool.dimension == model.dimension


def test_the_command_line_loads_the_folder(here, model, capsys):
    Path("texts.txt").write_text("a\n")
    options = ["--base-model", "org/base", "--device", "cpu", "--json"]
    assert main(["embed", "texts.txt", "--model", "./almanac", *options]) == 0
    assert len(json.loads(capsys.readouterr().out)["vector"]) == model.dimension


@pytest.mark.parametrize("name", [Path("nobody/nothing"), "./nobody/nothing", Path("texts.txt")])
def test_a_path_without_a_folder_is_an_error_and_not_looked_for_on_the_hub(here, name, monkeypatch):
    def ask(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("llm2vec_gen_rag.checkpoint.location.snapshot_download", ask)
    monkeypatch.setattr("llm2vec_gen_rag.backbone.loading.snapshot_download", ask)
    Path("texts.txt").touch()
    shown = os.path.join(".", name) if isinstance(name, Path) else name
    with pytest.raises(CheckpointError, match="a path is a folder, and there is none") as caught:
        LLM2VecGen.from_pretrained(name)
    assert shown in str(caught.value)
    with pytest.raises(BaseModelError, match="a path is a folder, and there is none") as caught:
        LLM2VecGen.from_pretrained(Path("almanac"), base_model=name, **ON_CPU)
    assert shown in str(caught.value)


@pytest.mark.parametrize("name", [None, 7, b"almanac"])
def test_what_names_no_model_is_reported(name):
    with pytest.raises(ValueError, match="expected a hub id, a folder, or a bundled model"):
        LLM2VecGen.from_pretrained(name)


@pytest.mark.parametrize("name", ["~no-such-user/x", "al\0manac", Path("al\0manac")])
def test_a_name_that_no_path_has_is_reported(model, name):
    with pytest.raises(ValueError, match=r"the name of a model is .*; expected"):
        LLM2VecGen.from_pretrained(name)
    with pytest.raises(ValueError, match=r"the name of a model is .*; expected"):
        LLM2VecGen.from_pretrained("almanac", base_model=name)
    with pytest.raises(ValueError, match=r"the folder is .*; expected"):
        model.save_pretrained(name)


@pytest.mark.parametrize("folder", ["", None, 7, b"folder"])
def test_what_names_no_folder_is_not_written_to(model, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"the folder is .*; expected a path"):
        model.save_pretrained(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a" * 300, "./" + "a" * 300, "a/" * 3000])
def test_a_name_that_is_too_long_is_reported(model, name):
    with pytest.raises(CheckpointError, match="is neither a folder here nor a checkpoint"):
        LLM2VecGen.from_pretrained(name)
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        LLM2VecGen.from_pretrained("almanac", base_model=name)
    with pytest.raises(StorageError, match="cannot be written"):
        model.save_pretrained(name)


def test_a_model_is_saved_into_the_home_folder(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model.save_pretrained("~/saved")
    assert (tmp_path / "saved" / "run_config.yml").is_file()
