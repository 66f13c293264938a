"""A folder that lost a part is refused by the name of that part; nothing is opened as if empty."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport
from llm2vec_gen_rag.qdrant.lent.client import lender_of

DOCUMENTS = [Document(f"text {i}", id=str(i)) for i in range(8)]
META = "meta.json"
STORAGE = "collection/notes/storage.sqlite"
RESTORE = "Restore it from a backup, or move the folder away and index your documents again"


@pytest.fixture
def folder(tmp_path, model):
    """A folder with eight documents, closed."""
    with DocumentCollection.open(tmp_path / "store", "notes", model) as collection:
        collection.index(DOCUMENTS)
    return tmp_path / "store"


def refusal(folder, model, name="notes"):
    """Return the message with which a folder is refused; it must leave the files as they were."""
    before = contents(folder)
    with pytest.raises(CollectionError) as refused:
        DocumentCollection.open(folder, name, model)
    assert contents(folder) == before
    return str(refused.value)


def contents(folder):
    """Return the bytes of each file, but of those that SQLite opens beside a database."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm"))]
    return {path: path.read_bytes() for path in files}


def keep_half(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(content: bytes):
    return lambda path: path.write_bytes(content)


def zero_the_second_half(path: Path):
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))


def break_every_point(path: Path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE points SET point = substr(point, 1, 20)")


def drop_the_table(path: Path):
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE points")


def store_something_else(path: Path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE points SET point = ?", (pickle.dumps({"a": 1}),))


def edit_config(change):
    """Change what `meta.json` says of the collection."""

    def edit(path: Path):
        content = json.loads(path.read_text())
        change(content["collections"]["notes"])
        path.write_text(json.dumps(content))

    return edit


def edit_aliases(aliases):
    def edit(path: Path):
        path.write_text(json.dumps({**json.loads(path.read_text()), "aliases": aliases}))

    return edit


def prepend_a_byte_order_mark(path: Path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def edit_vectors(change, points):
    """Change the vectors of so many points."""

    def edit(path: Path):
        with closing(sqlite3.connect(path)) as database, database:
            rows = database.execute("SELECT id, point FROM points").fetchall()
            for row, content in rows[:points]:
                point = pickle.loads(content)
                point.vector[""] = change(point.vector[""])
                update = "UPDATE points SET point = ? WHERE id = ?"
                database.execute(update, (pickle.dumps(point), row))

    return edit


DAMAGE = {
    "meta gone": (META, Path.unlink),
    "meta empty": (META, overwrite(b"")),
    "meta half-written": (META, keep_half),
    "meta null": (META, overwrite(b"null")),
    "meta a list": (META, overwrite(b"[]")),
    "meta without collections": (META, overwrite(b"{}")),
    "meta with a list of collections": (META, overwrite(b'{"collections": [1], "aliases": {}}')),
    "meta with no config": (META, overwrite(b'{"collections": {"notes": 1}, "aliases": {}}')),
    "meta with another config": (
        META,
        overwrite(b'{"collections": {"notes": {"vectors": 3}}, "aliases": {}}'),
    ),
    "meta with an alias of nothing": (META, edit_aliases({"docs": "nowhere"})),
    "meta with the name as an alias of nothing": (META, edit_aliases({"notes": "nowhere"})),
    "meta with an alias of a list": (META, edit_aliases({"docs": ["notes"]})),
    "meta with an alias of null": (META, edit_aliases({"docs": None})),
    "meta with a list of aliases": (META, edit_aliases(["docs"])),
    "meta not UTF-8": (META, overwrite(b"\xff\xfe")),
    "meta deeply nested": (META, overwrite(b"[" * 100_000)),
    "meta with a byte order mark": (META, prepend_a_byte_order_mark),
    "meta with another size": (META, edit_config(lambda c: c["vectors"].update(size=7))),
    "meta with another distance": (
        META,
        edit_config(lambda c: c["vectors"].update(distance="Dot")),
    ),
    "meta with named vectors": (META, edit_config(lambda c: c.update(vectors={"a": c["vectors"]}))),
    "meta without vectors": (META, edit_config(lambda c: c.update(vectors={}))),
    "meta without words": (META, edit_config(lambda c: c.update(sparse_vectors=None))),
    "meta with unweighted words": (
        META,
        edit_config(lambda c: c["sparse_vectors"]["bm25"].update(modifier=None)),
    ),
    "a short vector": (STORAGE, edit_vectors(lambda vector: vector[:5], 1)),
    "only short vectors": (STORAGE, edit_vectors(lambda vector: vector[:5], 8)),
    "a vector of text": (STORAGE, edit_vectors(lambda vector: "text", 1)),
    "only vectors of text": (STORAGE, edit_vectors(lambda vector: "text", 8)),
    "a vector with NaN": (STORAGE, edit_vectors(lambda vector: [float("nan"), *vector[1:]], 1)),
    "storage gone": (STORAGE, Path.unlink),
    "storage empty": (STORAGE, overwrite(b"")),
    "storage half-written": (STORAGE, keep_half),
    "storage zeroed": (STORAGE, zero_the_second_half),
    "storage no database": (STORAGE, overwrite(b"not a database, but long enough" * 99)),
    "storage without its table": (STORAGE, drop_the_table),
    "points half-written": (STORAGE, break_every_point),
    "points of something else": (STORAGE, store_something_else),
    "collection's folder gone": ("collection/notes", shutil.rmtree),
    "all collections gone": ("collection", shutil.rmtree),
}


@pytest.mark.parametrize(("file", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused_by_the_name_of_the_file(folder, model, file, damage):
    damage(folder / file)
    message = refusal(folder, model)
    assert str(folder / file) in message
    assert RESTORE in message


def test_another_collection_of_a_damaged_folder_is_refused_too(folder, model):
    keep_half(folder / STORAGE)
    assert str(folder / STORAGE) in refusal(folder, model, "others")


def test_points_that_meta_json_does_not_know_are_not_taken_over(folder, model):
    (folder / META).write_text(json.dumps({"collections": {}, "aliases": {}}))
    message = refusal(folder, model)
    assert f"{folder / STORAGE} holds points, but {folder / META} does not know" in message
    with DocumentCollection.open(folder, "others", model) as collection:
        assert collection.count() == 0


def test_a_process_killed_while_it_created_a_folder_leaves_a_folder_that_opens(tmp_path, model):
    (tmp_path / META).touch()
    with DocumentCollection.open(tmp_path, "notes", model) as collection:
        assert collection.count() == 0


def test_a_process_killed_while_it_created_a_collection_leaves_one_that_opens(folder, model):
    with sqlite3.connect(folder / STORAGE) as database:
        database.execute("DELETE FROM points")
    (folder / META).write_text(json.dumps({"collections": {}, "aliases": {}}))
    with DocumentCollection.open(folder, "notes", model) as collection:
        assert collection.index(DOCUMENTS) == IndexReport(added=8)


def test_a_full_disk_closes_the_collection_and_loses_nothing_of_before(folder, model):
    more = [Document(f"long text {i} " * 400, id=f"more {i}") for i in range(40)]
    collection = DocumentCollection.open(folder, "notes", model)
    with files_of_at_most(200_000), pytest.raises(CollectionError) as refused:
        collection.index(more, batch_size=1)
    assert f"{folder} cannot be written" in str(refused.value)
    assert "Free space" in str(refused.value)
    with pytest.raises(CollectionError, match="is closed"):
        collection.index(more)
    with DocumentCollection.open(folder, "notes", model) as again:
        assert again.index(DOCUMENTS) == IndexReport(unchanged=8)
        assert again.index(more).added > 0
        assert again.count() == 48


def test_a_full_disk_at_the_creation_of_a_folder_names_the_file(tmp_path, model):
    with files_of_at_most(100), pytest.raises(CollectionError, match="Free space"):
        DocumentCollection.open(tmp_path / "store", "notes", model)
    with DocumentCollection.open(tmp_path / "store", "notes", model) as collection:
        assert collection.index(DOCUMENTS) == IndexReport(added=8)


class files_of_at_most:  # noqa: N801
    """A context in which no file grows beyond so many bytes, as on a disk that is full there."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *exception):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_files_that_become_read_only_are_an_error_of_ours(folder, model):
    collection = DocumentCollection.open(folder, "notes", model)
    storage = collection._client._wrapped._client.collections["notes"].storage
    storage.storage.execute("PRAGMA query_only = ON")  # as root may write any file
    with pytest.raises(CollectionError, match=r"cannot be written \(attempt to write a readonly"):
        collection.index([Document("new")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
@pytest.mark.parametrize("file", [META, ".lock", STORAGE, "."])
def test_a_read_only_file_is_named(folder, model, file):
    (folder / file).chmod(0o400)
    try:
        with pytest.raises(CollectionError) as refused:
            DocumentCollection.open(folder, "notes", model).index([Document("new")])
    finally:
        (folder / file).chmod(0o700)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO])
def test_what_the_system_refuses_is_said_with_the_file(tmp_path, model, monkeypatch, code):
    def refuse(path, *arguments, **options):
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(CollectionError) as refused:
        DocumentCollection.open(tmp_path / "store", "notes", model)
    assert f"{tmp_path / 'store'} cannot be opened" in str(refused.value)
    assert os.strerror(code) in str(refused.value)


def test_a_folder_below_a_file_is_an_error_of_ours(tmp_path, model):
    (tmp_path / "file").touch()
    with pytest.raises(CollectionError, match=r"/file is a file; expected a folder"):
        DocumentCollection.open(tmp_path / "file" / "store", "notes", model)


def test_a_collection_deleted_by_another_is_an_error_of_ours(folder, model):
    with DocumentCollection.open(folder, "notes", model) as collection:
        lender_of(collection.client).delete_collection("notes")
        with pytest.raises(CollectionError, match="Collection notes not found: it was deleted"):
            collection.search("x")
        with pytest.raises(CollectionError, match="Collection notes not found: it was deleted"):
            collection.index(DOCUMENTS)


def test_an_alias_of_a_collection_opens_it(folder, model):
    edit_aliases({"docs": "notes"})(folder / META)
    with DocumentCollection.open(folder, "docs", model) as collection:
        assert collection.index(DOCUMENTS) == IndexReport(unchanged=8)


NAMES = ["", " ", ".", "..", "/", "a/b", "../x", "a\\b", "a:b", "a\0b", "a\nb", "x" * 256, "\ud800"]


@pytest.mark.parametrize("name", [*NAMES, None, 3, b"notes"], ids=repr)
@pytest.mark.parametrize("location", [":memory:", "folder"])
def test_a_name_that_no_collection_can_have_is_refused(tmp_path, model, location, name):
    place = tmp_path / "store" if location == "folder" else location
    with pytest.raises(CollectionError, match=r"name is .*; expected 1 to 255"):
        DocumentCollection.open(place, name, model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["notes", "two words", "東京", "..a", "a.b", "it's", "x" * 255])
def test_names_of_all_other_kinds_can_be_opened_again(tmp_path, model, name):
    for count in (0, 8):
        with DocumentCollection.open(tmp_path, name, model) as collection:
            assert collection.count() == count
            collection.index(DOCUMENTS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 48, "distance": "Euclid"}, "Qdrant says .* by Euclid distance"),
        ({"size": 7, "distance": "Cosine"}, "Qdrant says .* of size 7 by"),
    ],
)
def test_a_collection_with_other_vectors_is_refused_without_a_folder_too(model, settings, said):
    client = QdrantClient(":memory:")
    DocumentCollection(client, "notes", model)
    metadata = client.get_collection("notes").config.metadata
    client.delete_collection("notes")
    vectors = models.VectorParams(**settings)
    client.create_collection("notes", vectors_config=vectors, metadata=metadata)
    with pytest.raises(CollectionError, match=rf"{said}.*take another collection name and index"):
        DocumentCollection(client, "notes", model)
