"""Reaching Qdrant, and sharing it: locations, folders, threads, and a killed process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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


KILLED_RUN = """
import sys
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

folder, checkpoint, base = sys.argv[1:]
model = LLM2VecGen.from_pretrained(checkpoint, base_model=base, dtype="float32", device="cpu")
collection = DocumentCollection.open(folder, "notes", model)
collection.index((Document(f"text {i}", id=str(i)) for i in range(400)), batch_size=200)
"""


def test_running_again_after_a_kill_finishes(tmp_path, model):
    folder, kit = tmp_path / "store", Path(__file__).parents[1] / "reference/qwen3-10"
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(folder), str(kit / "checkpoint"), str(kit / "base")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        written = wait_for_rows(folder / "collection/notes/storage.sqlite", run)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    with DocumentCollection.open(folder, "notes", model) as collection:
        report = collection.index(
            (Document(f"text {i}", id=str(i)) for i in range(400)), batch_size=200
        )
        assert report.added + report.unchanged == 400
        assert report.unchanged >= written
        assert {hit.id for hit in collection.search("x", k=500)} == {str(i) for i in range(400)}


def wait_for_rows(database, run: subprocess.Popen) -> int:
    """How many points the first batch had on disk, once it has some."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert run.poll() is None, "the run ended before it could be killed"
        if database.is_file():
            try:
                with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                    (rows,) = connection.execute("SELECT count(*) FROM points").fetchone()
            except sqlite3.OperationalError:  # no table yet, or the writer's turn
                rows = 0
            if rows:
                return rows
        time.sleep(0.002)
    raise AssertionError("no point was written within a minute")
