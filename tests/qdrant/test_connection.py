"""Reaching Qdrant, and sharing it: locations, folders, threads, and a killed process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from child_processes import killed_when
from reference_kits import ReferenceKit

from llm2vec_gen_rag.errors import CollectionError, MissingExtraError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport


def test_a_folder_opened_twice_says_so(tmp_path, model):
    with (
        DocumentCollection.open(tmp_path, "notes", model),
        pytest.raises(CollectionError, match="is open in another Qdrant client"),
    ):
        DocumentCollection.open(tmp_path, "notes", model)


def test_a_file_is_no_folder(tmp_path, model):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CollectionError, match="is a file; expected a folder"):
        DocumentCollection.open(tmp_path / "file", "notes", model)


@pytest.mark.parametrize("location", ["localhost:6333", "grpc://somewhere:6334"])
def test_a_server_without_its_scheme_makes_no_folder(tmp_path, monkeypatch, model, location):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected ':memory:', a folder, or a URL"):
        DocumentCollection.open(location, "notes", model)
    assert list(tmp_path.iterdir()) == []


def test_a_key_without_a_server_is_refused(tmp_path, model):
    with pytest.raises(ValueError, match="api_key was given for"):
        DocumentCollection.open(tmp_path, "notes", model, api_key="secret")


def test_without_qdrant_client_the_door_names_the_extra():
    code = (
        "import sys; sys.modules['qdrant_client'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'qdrant_client' else real(name, *a)\n"
        "import llm2vec_gen_rag.qdrant\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert MissingExtraError.__name__ in run.stderr
    assert "pip install 'llm2vec-gen-rag[qdrant]'" in run.stderr


def test_eight_threads_index_into_one_folder(tmp_path, model):
    def part(start: int) -> list[Document]:
        return [Document(f"text {i}", id=str(i)) for i in range(start, start + 40)]

    with DocumentCollection.open(tmp_path, "notes", model) as collection:
        with ThreadPoolExecutor(8) as threads:
            work = [threads.submit(collection.index, part(40 * i), batch_size=4) for i in range(8)]
            reading = [threads.submit(collection.search, f"text {i}") for i in range(16)]
            reports = [future.result() for future in work]
            assert all(len(future.result()) <= 10 for future in reading)
        assert sum(report.added for report in reports) == collection.count() == 320
    with DocumentCollection.open(tmp_path, "notes", model) as reopened:
        assert reopened.index(part(0)) == IndexReport(unchanged=40)
        assert {hit.id for hit in reopened.search("x", k=320)} == {str(i) for i in range(320)}


def index_four_hundred(folder, model) -> IndexReport:
    with DocumentCollection.open(folder, "notes", model) as collection:
        documents = (Document(f"text {i}", id=str(i)) for i in range(400))
        return collection.index(documents, batch_size=200)


def load_and_index(folder):
    index_four_hundred(folder, ReferenceKit("qwen3-10").load())


def test_running_again_after_a_kill_finishes(tmp_path, model):
    folder = tmp_path / "store"
    written = 0

    def some_are_written():
        nonlocal written
        written = rows_in(folder / "collection/notes/storage.sqlite")
        return written > 0

    killed_when(some_are_written, load_and_index, folder)
    report = index_four_hundred(folder, model)
    assert report.added + report.unchanged == 400
    assert report.unchanged >= written
    with DocumentCollection.open(folder, "notes", model) as collection:
        assert {hit.id for hit in collection.search("x", k=500)} == {str(i) for i in range(400)}


def rows_in(database) -> int:
    """How many points are on disk."""
    if not database.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM points").fetchone()
    except sqlite3.OperationalError:  # no table yet, or the writer's turn
        return 0
    return rows
