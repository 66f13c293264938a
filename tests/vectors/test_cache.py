"""The cache of vectors on disk: what it keeps, for how many, and what becomes of it when broken."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest
from child_processes import FORK, errors_of_script
from full_disk import no_file_above
from without_privileges import run_without_privileges

from llm2vec_gen_rag.vectors.cache import VectorCache

VECTORS = {b"one": np.arange(4, dtype=np.float32), b"two": np.float32([-1.5, np.pi, 1e-30, 0])}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "vectors.sqlite"


@pytest.fixture
def filled(path):
    """The path of a file that holds two vectors and is closed."""
    cache = VectorCache(path)
    cache.put(VECTORS)
    cache.close()
    return path


def assert_holds_all(found):
    assert found.keys() == VECTORS.keys()
    for key, vector in VECTORS.items():
        assert found[key].dtype == np.float32
        np.testing.assert_array_equal(found[key], vector)


def test_vectors_come_back_bit_by_bit_in_another_session(filled):
    assert_holds_all(VectorCache(filled).get([b"one", b"missing", b"two"]))


def test_a_vector_replaces_the_one_of_its_key(filled):
    cache = VectorCache(filled)
    cache.put({b"one": np.ones(4, dtype=np.float32)})
    assert cache.get([b"one"])[b"one"].tolist() == [1, 1, 1, 1]


def test_more_keys_than_sqlite_takes_at_once(path):
    cache = VectorCache(path)
    many = {str(i).encode(): np.float32([i]) for i in range(1_200)}
    cache.put(many)
    assert cache.get([*many]) == many


def test_a_pickled_copy_reads_the_same_file(filled):
    assert_holds_all(pickle.loads(pickle.dumps(VectorCache(filled))).get([*VECTORS]))


def test_a_cache_is_a_file(tmp_path):
    with pytest.raises(ValueError, match=r"which is a folder; expected a file, such as '.*vectors"):
        VectorCache(tmp_path)


# --- several at once


WRITER = """
import sys
import numpy as np
from llm2vec_gen_rag.vectors.cache import VectorCache

cache = VectorCache(sys.argv[1])
for i in range(20):
    cache.put({f"{sys.argv[2]}-{i}".encode(): np.float32([i])})
"""


def test_processes_that_start_together_make_one_file_and_lose_nothing(path):
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, str(i)], stderr=subprocess.PIPE, text=True) for i in range(3)
    ]
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    keys = [f"{writer}-{i}".encode() for writer in range(3) for i in range(20)]
    assert VectorCache(path).get(keys).keys() == set(keys)


def test_threads_share_a_cache(path):
    cache = VectorCache(path)
    threads = [
        threading.Thread(target=cache.put, args=({str(i).encode(): np.float32([i])},))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get([str(i).encode() for i in range(8)])) == 8


FORKED = (
    FORK
    + """
from llm2vec_gen_rag.vectors.cache import VectorCache
import numpy as np

cache = VectorCache(sys.argv[1])
assert len(cache.get([b"one", b"two"])) == 2
fork(lambda: cache.put({b"of the child": np.float32([7])}))
assert cache.get([b"of the child"])[b"of the child"].tolist() == [7]
cache.put({b"of the parent": np.float32([8])})
"""
)


def test_a_forked_child_opens_the_file_for_itself(filled):
    assert errors_of_script(FORKED, str(filled), seconds=60) == ""
    assert len(VectorCache(filled).get([b"of the child", b"of the parent"])) == 2


# --- broken files: nothing wrong is read, and it is said once


def said(caplog):
    return [record.message for record in caplog.records if "cache of vectors" in record.message]


def test_a_vector_that_changed_on_disk_is_not_read(filled):
    with sqlite3.connect(filled) as connection:
        (vector,) = connection.execute(
            "SELECT vector FROM vectors WHERE key = ?", (b"one",)
        ).fetchone()
        changed = bytes([vector[0] ^ 1]) + vector[1:]
        connection.execute("UPDATE vectors SET vector = ? WHERE key = ?", (changed, b"one"))
        connection.execute("UPDATE vectors SET vector = 'text' WHERE key = ?", (b"two",))
    connection.close()
    cache = VectorCache(filled)
    assert cache.get([*VECTORS]) == {}
    cache.put(VECTORS)
    assert_holds_all(cache.get([*VECTORS]))


@pytest.mark.parametrize("damage", [b"not a database " * 500, b"SQLite format 3\0" + b"\7" * 5000])
def test_a_damaged_file_is_said_once_and_left_as_it_is(path, caplog, damage):
    path.parent.mkdir()
    path.write_bytes(damage)
    cache = VectorCache(path)
    for _ in range(3):
        cache.put(VECTORS)
        assert cache.get([*VECTORS]) == {}
    (message,) = said(caplog)
    assert str(path) in message
    assert "Delete it if it is damaged" in message
    assert path.read_bytes() == damage


def test_a_file_that_is_cut_in_half_is_said_once(filled, caplog):
    filled.write_bytes(filled.read_bytes()[:5000])
    cache = VectorCache(filled)
    assert cache.get([*VECTORS]) == {}
    cache.put(VECTORS)
    assert len(said(caplog)) == 1


def test_another_programs_database_is_left_alone(path, caplog):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE vectors (mine TEXT)")
    connection.close()
    before = path.read_bytes()
    cache = VectorCache(path)
    cache.put(VECTORS)
    assert cache.get([*VECTORS]) == {}
    (message,) = said(caplog)
    assert "it is a database of another program" in message
    assert path.read_bytes() == before


def test_a_full_disk_is_said_once_and_what_was_written_is_read(filled, caplog):
    cache = VectorCache(filled)
    assert_holds_all(cache.get([*VECTORS]))
    with no_file_above(1):
        for _ in range(2):
            cache.put({b"new": np.float32([1])})
    assert len(said(caplog)) == 1
    assert_holds_all(cache.get([*VECTORS, b"new"]))


READER = """
import sys
import numpy as np
from llm2vec_gen_rag.vectors.cache import VectorCache

cache = VectorCache(sys.argv[1])
for _ in range(2):
    cache.put({b"new": np.float32([1])})
print(sorted(cache.get([b"one", b"two", b"new"])))
"""


def test_a_read_only_file_is_read_and_that_is_said_once(filled):
    filled.chmod(0o400)
    filled.parent.chmod(0o500)
    try:
        done = run_without_privileges(READER, filled)
    finally:
        filled.parent.chmod(0o700)
    assert done.stdout == "[b'one', b'two']\n", done.stderr
    assert done.stderr.count("cannot be written (attempt to write a readonly database)") == 1
