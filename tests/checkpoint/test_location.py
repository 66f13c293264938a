"""A checkpoint or base model that is not where it should be gets an error that says where."""

from __future__ import annotations

import shutil

import pytest
from broken_checkpoints import edit_yaml, refused

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.arguments import BUNDLED_MODELS
from llm2vec_gen_rag.checkpoint import location
from llm2vec_gen_rag.errors import CheckpointError


def test_a_checkpoint_that_is_nowhere():
    for name in ("nobody/nothing", "/no/such/folder", "", "a b c"):
        with pytest.raises(
            CheckpointError, match="neither a folder here nor a checkpoint"
        ) as caught:
            LLM2VecGen.from_pretrained(name)
        caught.match(
            "Expected a folder in the published format, a hub id such as .*, or a bundled model "
            ".'almanac'."
        )


@pytest.mark.parametrize("name", BUNDLED_MODELS)
def test_an_installation_without_a_bundled_model(name, monkeypatch, tmp_path):
    monkeypatch.setitem(location._BUNDLED, name, tmp_path)
    with pytest.raises(CheckpointError, match=rf"not in this installation .*make {name}"):
        LLM2VecGen.from_pretrained(name)


@pytest.mark.parametrize("stated", [None, "", 7])
def test_a_base_model_that_is_not_stated(broken, stated):
    edit_yaml(broken / "run_config.yml", model_name_or_path=stated)
    refused(broken, CheckpointError, "model_name_or_path .* base_model=", base_model=None)


def test_a_base_model_outside_the_checkpoint(broken):
    shutil.move(broken / "base", broken.parent / "base")
    edit_yaml(broken / "run_config.yml", model_name_or_path="../base")
    refused(broken, CheckpointError, "leaves the checkpoint's folder", base_model=None)
