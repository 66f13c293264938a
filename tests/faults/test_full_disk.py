"""On a full disk, what was there before is whole, and the error says what cannot be written."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from full_disk import no_file_above
from reference_kits import KITS, ReferenceKit

from llm2vec_gen_rag.cli import main
from llm2vec_gen_rag.errors import StorageError


def contents(folder):
    """Return the bytes of every file under a folder, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sizes(folder):
    return sorted({len(content) for content in contents(folder).values()})


@pytest.fixture(scope="module", params=KITS)
def kit_and_model(request):
    kit = ReferenceKit(request.param)
    return kit, kit.load()


def test_saving_replaces_a_checkpoint_whole_or_not_at_all(kit_and_model, tmp_path):
    kit, model = kit_and_model
    model.save_pretrained(tmp_path / "saved")
    saved = sizes(tmp_path / "saved")
    shutil.copytree(kit.checkpoint, tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    before = contents(tmp_path / "mine")
    for size in saved[:-1]:  # every file but those of this size or smaller fails
        said = r"the checkpoint .*mine cannot be written .*that was there is whole\. Free disk"
        with no_file_above(size), pytest.raises(StorageError, match=said):
            model.save_pretrained(tmp_path / "mine")
        assert contents(tmp_path / "mine") == before
    model.save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert kit.load(checkpoint=tmp_path / "mine").fingerprint == model.fingerprint
    assert not list((tmp_path / "mine").glob(".partial-*"))


def test_saving_into_what_is_no_folder(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the checkpoint .*file"):
        model.save_pretrained(tmp_path / "file")
    with pytest.raises(StorageError, match=r"the checkpoint .*deeper"):
        model.save_pretrained(tmp_path / "file" / "deeper")


def test_the_output_of_embed_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("a\nb\n")
    command = ["embed", "texts.txt", "--output", "vectors.npy", "--device", "cpu"]
    assert main(command) == 0
    before = contents(tmp_path)
    (tmp_path / "texts.txt").write_text("c\nd\n" * 20)
    before["texts.txt"] = (tmp_path / "texts.txt").read_bytes()
    with no_file_above(4_000):
        assert main(command) == 1
    assert "vectors.npy cannot be written" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert main(command) == 0
    assert np.load("vectors.npy").shape == (40, 256)
