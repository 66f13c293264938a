"""A folder that is deleted or replaced while it is open: no write is reported that is lost."""

from __future__ import annotations

import os
import shutil

import pytest
from qdrant_client import QdrantClient

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection, IndexReport
from llm2vec_gen_rag.qdrant.lent.client import lender_of

FIRST, SECOND = Document("The yen is the money of Japan.", id="yen"), Document("A cat.", id="cat")
META = "meta.json"
STORAGE = "collection/notes/storage.sqlite"


def delete(folder, file):
    (folder / file).unlink()


def replace(folder, file):
    """Put a copy in the place of a file, as restoring a backup does."""
    shutil.copy(folder / file, folder / "copy")
    os.replace(folder / "copy", folder / file)


def delete_folder(folder, file):
    shutil.rmtree(folder)


def move_folder(folder, file):
    folder.rename(folder.with_name("moved"))


def replace_folder(folder, file):
    shutil.copytree(folder, folder.with_name("copy"))
    move_folder(folder, file)
    folder.with_name("copy").rename(folder)


LOSSES = {
    "folder deleted": (delete_folder, ".lock"),
    "folder moved": (move_folder, ".lock"),
    "folder replaced": (replace_folder, ".lock"),
    "storage deleted": (delete, STORAGE),
    "storage replaced": (replace, STORAGE),
    "log deleted": (delete, f"{STORAGE}-wal"),
    "log replaced": (replace, f"{STORAGE}-wal"),
    "meta deleted": (delete, META),
    "lock deleted": (delete, ".lock"),
    "lock replaced": (replace, ".lock"),
}
CALLS = {
    "index": lambda notes: notes.index([SECOND]),
    "index what is there": lambda notes: notes.index([FIRST]),
    "sync": lambda notes: notes.sync([SECOND]),
    "delete": lambda notes: notes.delete(["yen"]),
    "LangChain": lambda notes: notes.as_langchain().add_texts(["a text"]),
    "close": lambda notes: notes.close(),
}


@pytest.fixture
def opened(tmp_path, model):
    """A collection in a folder, with one document."""
    collection = DocumentCollection.open(tmp_path / "store", "notes", model)
    collection.index([FIRST])
    return collection


@pytest.mark.parametrize(("lose", "file"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_file_that_is_lost_while_it_is_open_is_named(tmp_path, opened, lose, file, call):
    folder = tmp_path / "store"
    lose(folder, file)
    with pytest.raises(CollectionError) as refused:
        call(opened)
    assert f"{folder / file} was deleted or replaced" in str(refused.value)
    with pytest.raises(CollectionError, match="is closed"):
        opened.count()
    opened.close()  # once is enough


def test_a_folder_that_is_lost_amid_a_write_is_not_said_to_hold_it(tmp_path, opened, monkeypatch):
    storage = lender_of(opened.client)._wrapped._client.collections["notes"].storage
    persist = storage.persist

    def persist_too_late(point):
        shutil.rmtree(tmp_path / "store")
        persist(point)

    monkeypatch.setattr(storage, "persist", persist_too_late)
    with pytest.raises(CollectionError, match=r"store/\.lock was deleted or replaced"):
        opened.index([SECOND])


def test_another_collection_of_the_folder_notices_too(tmp_path, opened, model):
    others = DocumentCollection(opened.client, "others", model)
    delete(tmp_path / "store", "collection/others/storage.sqlite")
    with pytest.raises(CollectionError, match=r"others/storage\.sqlite was deleted"):
        others.index([SECOND])


def test_a_client_of_ones_own_notices_too(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collection = DocumentCollection(QdrantClient(path="store"), "notes", model)
    (tmp_path / "elsewhere").mkdir()
    os.chdir("elsewhere")
    assert collection.index([FIRST]) == IndexReport(added=1)
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(CollectionError, match=r"store/\.lock was deleted or replaced"):
        collection.index([SECOND])


def test_what_a_collection_does_to_its_own_files_is_no_loss(tmp_path, opened, model):
    client = lender_of(opened.client)
    client.create_collection("passing", vectors_config={})
    client.delete_collection("passing")
    client.create_collection("passing", vectors_config={})
    DocumentCollection(client, "others", model).index([FIRST])
    many = [Document(f"text {i} " * 200, id=str(i)) for i in range(300)]  # beyond a checkpoint
    assert opened.index(many).added == 300
    opened.close()
    with DocumentCollection.open(tmp_path / "store", "notes", model) as again:
        assert again.count() == 301
