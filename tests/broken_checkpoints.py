"""Break a copy of a checkpoint, load it, and check the error."""

from __future__ import annotations

import json

import pytest
import yaml
from safetensors.torch import load_file, save_file

from llm2vec_gen_rag import LLM2VecGen

REMEDY = r"[Dd]ownload|base_model=|[Uu]se |[Ff]ix |get the checkpoint again|[Ii]nstall|[Pp]ass "


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
