"""No code in a checkpoint's files is run."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import torch
from broken_checkpoints import load, refused

from llm2vec_gen_rag.errors import UnsafeFileError


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
