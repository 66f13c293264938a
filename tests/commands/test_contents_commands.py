"""`list`, `delete` and `dump`: what a collection holds, from the command line."""

from __future__ import annotations

import io
import json
import sys

import pytest


@pytest.fixture
def options(tmp_path, model_options, notes, run_json):
    given = ["--store", tmp_path / "store", *model_options]
    run_json("index", notes, *given)
    return given


def test_list_shows_the_documents_their_sources_and_how_many_there_are(run, run_json, options):
    listed = run_json("list", "--limit", "3", *options)
    assert (listed["total"], len(listed["documents"])) == (4, 3)
    (kyoto,) = run_json("list", "--filter", "year=1868", *options)["documents"]
    assert (kyoto["id"], kyoto["text"]) == ("kyoto", "Kyoto was the capital.")
    assert kyoto["sources"][0].endswith("notes/rows.jsonl")
    code, out, _ = run("list", "bears.md#1", *options)
    assert code == 0
    assert out.startswith("bears.md#1  from ")
    assert "# Bears\n\nPolar bears live in the Arctic." in out
    assert "1 of the 4 documents" in out


def test_list_refuses_an_id_that_is_not_there_and_ids_beside_a_filter(run, options):
    code, out, err = run("list", "bears", *options)
    assert (code, out) == (1, "")
    assert "holds no document 'bears'" in err
    code, _, err = run("list", "bears.md#1", "--filter", "a=b", *options)
    assert (code, "got ids and --filter" in err) == (1, True)


def test_delete_by_ids_and_by_a_filter_says_how_many_are_gone(run, run_json, options):
    assert run_json("delete", "cats", "no such id", *options)["deleted"] == 1
    assert run_json("delete", "--filter", "year=1868", *options) == {
        "deleted": 1,
        "documents": 2,
        "dropped": False,
    }
    code, out, _ = run("delete", "bears.md#1", *options)
    assert (code, out.split("\n")[0]) == (0, "1 documents deleted")
    assert out.endswith("holds 1 documents\n")


@pytest.mark.parametrize("given", [[], ["cats", "--drop"], ["cats", "--filter", "a=b"]])
def test_delete_is_told_exactly_one_thing(run, options, given):
    code, out, err = run("delete", *given, *options)
    assert (code, out) == (1, "")
    assert "expected one of ids, --filter KEY=VALUE and --drop" in err


@pytest.mark.parametrize(("typed", "is_dropped"), [("yes\n", True), ("y\n", False), ("", False)])
def test_drop_asks_on_the_terminal(run, run_json, options, monkeypatch, typed, is_dropped):
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    code, out, err = run("delete", "--drop", *options)
    assert "Delete the collection 'documents' with its 4 documents? Type yes to do it" in err
    assert code == (0 if is_dropped else 1)
    assert ("is gone" in out) == is_dropped
    if not is_dropped:
        assert run_json("list", *options)["total"] == 4


def test_drop_without_a_terminal_needs_yes(run, run_json, options, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    code, _, err = run("delete", "--drop", *options)
    assert (code, "Add --yes to drop it" in err) == (1, True)
    assert run_json("delete", "--drop", "--yes", *options)["deleted"] == 4
    code, _, err = run("list", *options)
    assert (code, "holds no collection 'documents'" in err) == (1, True)


def test_a_dump_that_is_indexed_elsewhere_is_the_same_collection(
    run, run_json, options, notes, tmp_path, model_options
):
    file = tmp_path / "dump.jsonl"
    assert run_json("dump", "--output", file, *options) == {"documents": 4, "output": str(file)}
    elsewhere = ["--store", tmp_path / "elsewhere", *model_options]
    assert run_json("index", file, *elsewhere)["added"] == 4
    assert run_json("list", *elsewhere) == run_json("list", *options)
    again = run_json("index", notes, *elsewhere)  # the folder that had given them
    assert (again["unchanged"], again["added"]) == (4, 0)
    code, out, _ = run("dump", "--output", file, "--filter", "year=1868", "--vectors", *options)
    assert (code, out) == (0, f"1 documents, written to {file}\n")
    assert json.loads(file.read_text())["_llm2vec_gen"]["vector"]
    code, _, err = run("dump", "--output", tmp_path / "dump.json", *options)
    assert (code, "ends in .jsonl" in err) == (1, True)
