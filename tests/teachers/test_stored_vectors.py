"""Stored teacher vectors: whole or absent, of the texts they are of, read without loading them."""

from __future__ import annotations

import resource
import shutil
import tracemalloc
from collections import namedtuple

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.teachers.stored_vectors import (
    WINDOW,
    read_teacher_vectors,
    write_teacher_vectors,
)

TEXTS = [f"text {number}" for number in range(2 * WINDOW + 10)]
FILE, UNFINISHED = "vectors.safetensors", "vectors.safetensors.unfinished"


class CountingTeacher:
    """Vectors that follow from the text alone; remembers what it was asked for."""

    name = "counting"

    def __init__(self, *, dimension=8, fingerprint="one", stop_after=None):
        self.dimension = dimension
        self.fingerprint = fingerprint
        self.asked = []
        self.stop_after = stop_after

    def embed(self, texts):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += texts
        numbers = np.array([int(text.split()[-1]) for text in texts], dtype=np.float32)
        return np.sin(numbers[:, None] + np.arange(self.dimension, dtype=np.float32))


class ConstantTeacher:
    """Returns the array it was given, whatever the texts."""

    name = "constant"
    dimension = 2
    fingerprint = "constant"

    def __init__(self, vectors):
        self.vectors = np.asarray(vectors, dtype=np.float32)

    def embed(self, texts):
        return self.vectors


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


@pytest.mark.parametrize(("dtype", "error"), [("float16", 1e-3), ("float32", 0)])
def test_stored_vectors_are_those_of_the_teacher(tmp_path, dtype, error):
    path = tmp_path / "new" / "folder" / FILE
    write_teacher_vectors(CountingTeacher(), TEXTS, path, dtype=dtype)
    vectors = read_teacher_vectors(path, TEXTS)
    assert vectors.dtype == dtype
    assert vectors.shape == (len(TEXTS), 8)
    np.testing.assert_allclose(vectors, CountingTeacher().embed(TEXTS), atol=error)
    assert [file.name for file in path.parent.iterdir()] == [FILE]


def test_the_file_is_one_that_safetensors_reads(path):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    ((name, vectors),) = load_file(path).items()
    assert name == "vectors"
    np.testing.assert_array_equal(vectors, read_teacher_vectors(path, TEXTS))


def test_a_file_that_safetensors_wrote_is_read(path):
    write_teacher_vectors(CountingTeacher(), TEXTS[:3], path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    vectors = np.arange(6, dtype=np.float16).reshape(3, 2)
    save_file({"vectors": vectors}, path, metadata=metadata)
    np.testing.assert_array_equal(read_teacher_vectors(path, TEXTS[:3]), vectors)


def test_rows_become_tensors_and_the_file_stays_as_it_is(path):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    before = path.read_bytes()
    vectors = read_teacher_vectors(path, TEXTS)
    assert isinstance(vectors, np.memmap)
    rows = torch.from_numpy(vectors[[5, 0, 5]])
    assert torch.equal(rows[0], rows[2])
    rows.zero_()
    vectors[:] = 0
    assert path.read_bytes() == before


def test_neither_writing_nor_reading_holds_half_of_the_vectors_in_memory(path):
    texts = [f"text {number}" for number in range(20 * WINDOW)]
    teacher = CountingTeacher(dimension=256)
    tracemalloc.start()
    try:
        write_teacher_vectors(teacher, texts, path)
        vectors = read_teacher_vectors(path, texts)
        rows = vectors[[0, WINDOW, -1]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 2
    expected = teacher.embed([texts[0], texts[WINDOW], texts[-1]])
    np.testing.assert_allclose(rows, expected, atol=1e-3)


def test_a_stopped_run_resumes(path):
    stopped = CountingTeacher(stop_after=WINDOW)
    with pytest.raises(KeyboardInterrupt):
        write_teacher_vectors(stopped, TEXTS, path)
    assert stopped.asked == TEXTS[:WINDOW]
    assert not path.exists()
    unfinished = path.with_name(UNFINISHED)
    unfinished.write_bytes(unfinished.read_bytes() + b"half a row")
    again = CountingTeacher()
    write_teacher_vectors(again, TEXTS, path)
    assert again.asked == TEXTS[WINDOW:]
    assert not unfinished.exists()
    whole = path.with_name("whole.safetensors")
    write_teacher_vectors(CountingTeacher(), TEXTS, whole)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("rows", [0, 3])
def test_a_row_cut_in_half_is_computed_again(path, rows):
    write_teacher_vectors(CountingTeacher(), TEXTS[:10], path)
    whole = path.read_bytes()
    path.unlink()
    path.with_name(UNFINISHED).write_bytes(whole[: len(whole) - (10 - rows) * 16 + 7])
    again = CountingTeacher()
    write_teacher_vectors(again, TEXTS[:10], path)
    assert again.asked == TEXTS[rows:10]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 5, 40])
def test_an_unfinished_file_that_holds_no_row_is_begun_again(path, size):
    write_teacher_vectors(CountingTeacher(), TEXTS[:10], path)
    whole = path.read_bytes()
    path.unlink()
    path.with_name(UNFINISHED).write_bytes(whole[:size])
    write_teacher_vectors(CountingTeacher(), TEXTS[:10], path)
    assert path.read_bytes() == whole


def test_a_whole_file_is_not_computed_again(path):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    before = path.stat().st_mtime_ns
    again = CountingTeacher()
    write_teacher_vectors(again, TEXTS, path)
    assert again.asked == []
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("teacher", "texts", "dtype"),
    [
        (CountingTeacher(fingerprint="two"), TEXTS, "float16"),
        (CountingTeacher(dimension=4), TEXTS, "float16"),
        (CountingTeacher(), TEXTS[::-1], "float16"),
        (CountingTeacher(), TEXTS, "float32"),
    ],
)
@pytest.mark.parametrize("found", ["unfinished", "whole"])
def test_rows_of_anything_else_are_not_kept(path, teacher, texts, dtype, found):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    if found == "unfinished":
        path.replace(path.with_name(UNFINISHED))
    teacher.asked.clear()
    write_teacher_vectors(teacher, texts, path, dtype=dtype)
    assert teacher.asked == texts
    vectors = read_teacher_vectors(path, texts)
    np.testing.assert_allclose(vectors, teacher.embed(texts), atol=1e-3)


@pytest.fixture
def limited_file_size():
    """A disk on which no file grows beyond a size: what a full one does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_loses_nothing(path, limited_file_size):
    limited_file_size(WINDOW * 8 * 2 + 5000)
    with pytest.raises(StorageError, match=r"vectors\.safetensors cannot be written .*are kept in"):
        write_teacher_vectors(CountingTeacher(), TEXTS, path)
    assert not path.exists()
    limited_file_size(resource.RLIM_INFINITY)
    again = CountingTeacher()
    write_teacher_vectors(again, TEXTS, path)
    assert len(again.asked) <= len(TEXTS) - WINDOW
    vectors = read_teacher_vectors(path, TEXTS)
    np.testing.assert_allclose(vectors, CountingTeacher().embed(TEXTS), atol=1e-3)


def test_too_small_a_disk_is_reported_before_anything_is_computed(path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
    teacher = CountingTeacher()
    with pytest.raises(StorageError, match="32,928 bytes are needed and 1,000 are free"):
        write_teacher_vectors(teacher, TEXTS, path)
    assert teacher.asked == []


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"file/vectors\.safetensors cannot be written"):
        write_teacher_vectors(CountingTeacher(), TEXTS, tmp_path / "file" / FILE)


def test_a_folder_at_the_path_of_the_file_is_reported_before_anything_is_computed(path):
    path.mkdir()
    teacher = CountingTeacher()
    with pytest.raises(StorageError, match="a folder of that name is in its place"):
        write_teacher_vectors(teacher, TEXTS, path)
    assert teacher.asked == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (TEXTS[:-1], "holds 2058 vectors; expected 2057"),
        (TEXTS[::-1], "in another order"),
        ([*TEXTS[:-1], "something else"], "vectors of other texts"),
    ],
)
def test_vectors_of_other_texts_are_refused(path, texts, message):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    with pytest.raises(ValueError, match=message):
        read_teacher_vectors(path, texts)


@pytest.mark.parametrize("content", [None, b"half", b""])
def test_an_unreadable_vector_file_is_reported(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read teacher vectors from .*vectors"):
        read_teacher_vectors(path, TEXTS)


def test_a_half_written_vector_file_is_reported(path):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cannot read teacher vectors from .*vectors"):
        read_teacher_vectors(path, TEXTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": np.zeros(3)}, "cannot read teacher vectors"),
        ({"vectors": np.zeros(3, dtype=np.float32)}, r"array of F32 with shape \(3,\)"),
        ({"vectors": np.zeros((3, 2), dtype=np.int64)}, "array of I64"),
    ],
)
def test_a_safetensors_file_of_something_else_is_reported(path, content, message):
    save_file(content, path)
    with pytest.raises(ValueError, match=message):
        read_teacher_vectors(path, TEXTS)


def test_a_stored_vector_that_is_not_finite_is_reported(path):
    write_teacher_vectors(CountingTeacher(), TEXTS, path)
    content = bytearray(path.read_bytes())
    row = WINDOW + 5
    at = len(content) - (len(TEXTS) - row) * 16
    content[at : at + 2] = np.float16(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"vector {row} in .* holds NaN"):
        read_teacher_vectors(path, TEXTS)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\) for 2 texts; expected \(2, 2\)"),
        (np.zeros((2, 3)), r"shape \(2, 3\) for 2 texts; expected \(2, 2\)"),
        ([[0, 1], [np.nan, 0]], "for text 1: 'second'"),
        ([[1e6, 1], [0, 0]], "beyond float16 for text 0: 'first'"),
    ],
)
def test_a_teacher_that_returns_the_wrong_thing_is_reported(path, vectors, message):
    with pytest.raises(ValueError, match=message):
        write_teacher_vectors(ConstantTeacher(vectors), ["first", "second"], path)
    assert not path.exists()


def test_a_large_value_is_kept_in_float32(path):
    write_teacher_vectors(ConstantTeacher([[1e6, 1]]), ["first"], path, dtype="float32")
    assert read_teacher_vectors(path, ["first"])[0, 0] == 1e6


def test_no_texts_and_another_dtype_are_refused(path):
    with pytest.raises(ValueError, match="no texts"):
        write_teacher_vectors(CountingTeacher(), [], path)
    with pytest.raises(ValueError, match="'bfloat16'; expected one of float16, float32"):
        write_teacher_vectors(CountingTeacher(), TEXTS, path, dtype="bfloat16")
