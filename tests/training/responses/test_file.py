"""A disk that is full or may not be written: nothing is lost, and the error says which file."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.training.responses.file import (
    append_responses,
    open_responses,
    read_responses,
)
from llm2vec_gen_rag.training.responses.response import Response

ORIGIN = {"model": "mine"}
FIRST = [Response("a", "A" * 100, True), Response("b", "B" * 100, True)]
SECOND = [Response("c", "C" * 100, True), Response("d", "D" * 100, True)]


@contextmanager
def room_for(size):
    """Let no file of this process grow beyond so many bytes, as a disk without room would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def read_only_folder():
    """A folder that this process may read, but not write; root becomes nobody meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        open_responses(folder / "r.jsonl", ORIGIN)
        append_responses(folder / "r.jsonl", FIRST)
        for path in (folder / "r.jsonl", folder / "r.model.json"):
            path.chmod(0o444)
        folder.chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.parametrize("missing", [1, 60, 200, 270])
def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path, missing):
    path, whole = tmp_path / "r.jsonl", tmp_path / "whole.jsonl"
    for file in (path, whole):
        open_responses(file, ORIGIN)
        append_responses(file, FIRST)
    append_responses(whole, SECOND)
    before = path.read_bytes()
    full = (
        rf"{path} cannot be written \({os.strerror(errno.EFBIG)}\); those written before are kept"
    )
    with room_for(whole.stat().st_size - missing), pytest.raises(StorageError, match=full):
        append_responses(path, SECOND)
    assert path.read_bytes() == before
    assert open_responses(path, ORIGIN).keys() == {"a", "b"}
    append_responses(path, SECOND)
    assert path.read_bytes() == whole.read_bytes()


def test_a_disk_that_is_full_from_the_start_leaves_nothing_in_the_way(tmp_path):
    path = tmp_path / "r.jsonl"
    with room_for(3), pytest.raises(StorageError, match=r"r\.jsonl cannot be written"):
        open_responses(path, ORIGIN)
    assert open_responses(path, ORIGIN) == {}


def test_a_folder_without_permission_is_reported(read_only_folder):
    with pytest.raises(StorageError, match=r"new\.jsonl cannot be written \(Permission"):
        open_responses(read_only_folder / "new.jsonl", ORIGIN)
    with pytest.raises(StorageError, match=r"r\.jsonl cannot be written \(Permission"):
        open_responses(read_only_folder / "r.jsonl", ORIGIN)
    with pytest.raises(StorageError, match=r"r\.jsonl cannot be written \(Permission"):
        append_responses(read_only_folder / "r.jsonl", SECOND)
    assert read_responses(read_only_folder / "r.jsonl") == FIRST


def test_a_path_below_a_file_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/r\.jsonl cannot be written \(File exists"):
        open_responses(tmp_path / "file" / "r.jsonl", ORIGIN)


def test_a_damaged_record_is_reported(tmp_path):
    path = tmp_path / "r.jsonl"
    open_responses(path, ORIGIN)
    (tmp_path / "r.model.json").write_text("{")
    with pytest.raises(ValueError, match=r"r\.model\.json is damaged"):
        open_responses(path, ORIGIN)


def test_a_file_of_other_settings_is_left_as_it_is(tmp_path):
    path = tmp_path / "r.jsonl"
    open_responses(path, ORIGIN)
    path.write_bytes(b'{"query": "half')
    with pytest.raises(ValueError, match="was written by mine with model"):
        open_responses(path, {"model": "theirs"})
    assert path.read_bytes() == b'{"query": "half'
