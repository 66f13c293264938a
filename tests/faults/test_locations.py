"""Where a collection is said to be: what is meant is opened, and all else is said to be nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.qdrant.opening.location import Server, read_location, without_credentials


@pytest.mark.parametrize(
    "location",
    [
        "",
        " ",
        None,
        3,
        b"folder",
        ["folder"],
        "localhost",
        "LOCALHOST",
        "localhost:6333",
        "localhost/qdrant",
        "localhost:6333/qdrant",
        "127.0.0.1",
        "127.0.0.1:6333",
        "[::1]:6333",
        "qdrant.example:6333",
        " localhost ",
        "::1",
        ":MEMORY:",
        " :memory: ",
        ":memory",
        "memory:",
        "u:SECRETKEY@host:1",
        "SECRETKEY@host",
        "u:SECRETKEY@host/qdrant",
        "http:/u:SECRETKEY@host",
        "//u:SECRETKEY@host:1",
        "ftp://u:SECRETKEY@host",
        "u:SECRETKEY@http://host",
        "http:/x",
        "http:x",
        "https//x",
        "HTTPS//x",
        "http;//x?key=SECRETKEY",
        "https:/host?key=SECRETKEY",
        "grpc://localhost:6334",
        "file:///tmp/store",
        "http://",
        "https:///path",
        "http://localhost:port",
        "http://localhost:99999",
        "http://local host",
        "a\0b",
        "~nobody-of-this-name/store",
        "~\ud800",
        "\ud800",
        "~a\0b",
    ],
    ids=ascii,
)
def test_what_is_no_location_is_told_what_is(tmp_path, monkeypatch, model, location):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"location is .*expected") as refused:
        DocumentCollection.open(location, "notes", model)
    assert "folder" in str(refused.value) or "http://localhost:6333" in str(refused.value)
    assert "SECRETKEY" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_the_home(tmp_path, monkeypatch, model):
    monkeypatch.setenv("HOME", str(tmp_path))
    for location in ("~/store", Path("~/store")):
        with DocumentCollection.open(location, "notes", model):
            assert (tmp_path / "store/meta.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_command_line_opens_a_store_in_the_home(tmp_path, monkeypatch, model):
    from argparse import Namespace

    from llm2vec_gen_rag.commands.collection import opened, require_store

    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = Namespace(store="~/store", collection="documents", api_key_env="NO_KEY")
    with opened(arguments, model, create=True) as collection:
        collection.index([Document("a text")])
    require_store(arguments)
    with opened(arguments, model) as collection:
        assert collection.count() == 1


NAMES = [":memory:", "localhost", "a:b", "me@work", "::1", "store.v2", "two words", "a~"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_a_folder_whatever_its_name(tmp_path, monkeypatch, model, name):
    monkeypatch.chdir(tmp_path)
    with DocumentCollection.open(Path(name), "notes", model) as collection:
        collection.index([Document("a text")])
    with DocumentCollection.open(Path(name), "notes", model) as collection:
        assert collection.count() == 1
    assert (tmp_path / name / "collection/notes/storage.sqlite").is_file()


@pytest.mark.parametrize("name", [*NAMES, "http:/x", "https//x", "~a"])
@pytest.mark.parametrize("written", ["./{}", "sub/{}", "../here/{}", "{tmp_path}/{}"])
def test_a_string_that_is_written_as_a_path_is_a_folder(tmp_path, monkeypatch, name, written):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    location = written.format(name, tmp_path=tmp_path / "here")
    expected = "here/sub" if written.startswith("sub") else "here"
    assert read_location(location) == tmp_path / expected / os.path.normpath(name)


@pytest.mark.parametrize("name", ["store", "store.v2", "two words", " store", "a~", "https", "a/b"])
def test_a_plain_name_is_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert read_location(name) == tmp_path / name


def test_a_drive_of_windows_is_a_folder_there(monkeypatch):
    import ntpath

    monkeypatch.setattr(os.path, "splitdrive", ntpath.splitdrive)
    for name in ("C:/store", "C:\\store"):
        assert str(read_location(name)).endswith(name)


def test_a_relative_folder_stays_where_it_was_opened(tmp_path, monkeypatch, model):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with DocumentCollection.open("store", "notes", model) as collection:
        os.chdir("elsewhere")
        DocumentCollection(collection.client, "others", model)  # writes meta.json
    with DocumentCollection.open(tmp_path / "store", "others", model) as collection:
        assert collection.count() == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_database_whose_path_has_odd_characters_is_read(tmp_path, model):
    for _ in range(2):
        with DocumentCollection.open(tmp_path / "50 % ?x#y é", "notes", model) as collection:
            collection.index([Document("a text")])
            assert collection.count() == 1
    path = tmp_path / "50 % ?x#y é" / "collection/notes/storage.sqlite"
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM points").fetchone() == (1,)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://localhost", Server("http://localhost", None)),
        ("HTTP://localhost:6333/", Server("http://localhost:6333/", None)),
        ("https://u:p@q.example:80/x?a=b", Server("https://q.example:80/x", ("u", "p"))),
        ("https://u%40x:p%2F@[::1]:80", Server("https://[::1]:80", ("u@x", "p/"))),
    ],
)
def test_a_url_is_a_server(url, server):
    assert read_location(url) == server


def test_a_url_is_shown_without_what_is_secret():
    assert without_credentials("http://u:p@host:1/x?k=v#f") == "http://host:1/x"
    assert without_credentials("http://u:p/q?r#s@host") == "http://host"
    assert without_credentials("a folder@home") == "a folder@home"


@pytest.mark.parametrize("api_key", ["", " key", "key\n", "a\nb", "schlüssel", 3, b"key"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(model, api_key):
    with pytest.raises(ValueError, match="api_key is ") as refused:
        DocumentCollection.open("http://127.0.0.1:9", "notes", model, api_key=api_key)
    assert "key\n" not in str(refused.value)
    assert "schlüssel" not in str(refused.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True])
def test_a_timeout_is_a_positive_number_of_seconds(model, timeout):
    with pytest.raises(ValueError, match=r"timeout is .*expected a positive number of seconds"):
        DocumentCollection.open("http://127.0.0.1:9", "notes", model, timeout=timeout)


def test_a_timeout_without_a_server_is_refused(tmp_path, model):
    for location in (":memory:", tmp_path):
        with pytest.raises(ValueError, match="timeout was given for"):
            DocumentCollection.open(location, "notes", model, timeout=5)


def test_a_name_is_checked_before_a_server_is_asked(model):
    with pytest.raises(CollectionError, match="name is"):
        DocumentCollection.open("http://127.0.0.1:9", "..", model)
