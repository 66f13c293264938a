"""A bad file or line is left out, named and counted; the rest is indexed, what it gave stays."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm2vec_gen_rag.qdrant import Document
from llm2vec_gen_rag.qdrant.reading import passages
from llm2vec_gen_rag.qdrant.reading.found_files import find_files

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


@pytest.fixture
def index(run, tmp_path, model_options):
    """Index a path; returns the exit code, the report and the errors."""

    def run_index(*argv):
        options = ["--store", tmp_path / "store", *model_options, "--json"]
        code, out, err = run("index", *argv, *options)
        return code, json.loads(out) if out else None, err

    return run_index


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "good.md").write_text("A good note.")
    return folder


def unreadable(monkeypatch, method, name):
    """Let the system refuse to read a path; root, who may run the tests, can read all."""
    owner, attribute = method
    real = getattr(owner, attribute)

    def refusing(path, *arguments, **options):
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(owner, attribute, refusing)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("bad.md", (Path, "read_bytes")),
        ("bad.jsonl", (Path, "open")),
        ("bad", (os, "listdir")),
    ],
)
def test_what_may_not_be_read_is_left_out_and_what_it_gave_stays(
    index, folder, monkeypatch, name, method
):
    file = folder / "bad" / "deep.md" if name == "bad" else folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"text": "once good"}')
    assert index(folder)[1]["added"] == 2
    unreadable(monkeypatch, method, name)
    code, report, err = index(folder)
    assert (code, report["unchanged"], report["removed"], report["documents"]) == (0, 1, 0, 2)
    assert report["unreadable_files"] == [str(folder / name)]
    assert f"left out, as it cannot be read (Permission denied): {folder / name}" in err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_name_that_is_not_utf8_is_left_out(index, folder, is_folder):
    path = os.fsencode(folder) + b"/caf\xe9" + (b"" if is_folder else b".md")
    if is_folder:
        os.mkdir(path)
    with open(path + b"/a.md" if is_folder else path, "w") as file:
        file.write("A note.")
    code, report, err = index(folder)
    assert (code, report["added"], len(report["unreadable_files"])) == (0, 1, 1)
    assert "left out, as its name is not UTF-8: '" in err
    code, _, err = index(os.fsdecode(path))
    assert (code, "caf\\udce9" in err) == (1, True)


BAD_LINES = {
    "not JSON": "{",
    "no text": '{"title": "x"}',
    "no object": "[1]",
    "not UTF-8": "\xff",
    "nested too deeply to read": '{"text": ' + "[" * 100_000,
    "nested too deeply to store": '{"text": "x", "deep": ' + "[" * 400 + "]" * 400 + "}",
    "no metadata": '{"text": "x", "metadata": [1]}',
    "a number that JSON has not": '{"text": "x", "score": NaN}',
    "half a character": '{"text": "\\ud800"}',
    "an id of its file": '{"text": "x", "id": "first"}',
}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_bad_line_is_left_out_of_a_folder_and_what_it_gave_stays(index, folder, bad):
    rows = folder / "rows.jsonl"
    first, last = '{"text": "first", "id": "first"}\n', '\n{"text": "last", "id": "last"}\n'
    rows.write_text(first + '{"text": "once good", "id": "2"}' + last)
    assert index(folder)[1]["added"] == 4
    rows.write_bytes((first + BAD_LINES[bad] + last).encode("latin-1"))
    code, report, err = index(folder)
    assert (code, report["unchanged"], report["removed"], report["documents"]) == (0, 3, 0, 4)
    assert (report["unreadable_files"], report["unreadable_lines"]) == ([], 1)
    assert [left["line"] for left in report["left_out"]] == [2]
    assert f"left out, {rows}, line 2" in err
    code, _, err = index(rows)
    assert (code, "line 2" in err) == (1, True)


def test_of_many_bad_lines_the_terminal_names_twenty(index, folder):
    (folder / "rows.jsonl").write_text('{"text": "good"}\n' + "{\n" * 50)
    _, report, err = index(folder)
    assert (report["unreadable_lines"], len(report["left_out"])) == (50, 50)
    assert err.count("left out") == 21
    assert "left out: 30 more" in err


@pytest.mark.parametrize("levels", [65, 400, 100_000])
def test_metadata_nested_too_deeply_is_refused_by_the_document(levels):
    deep = []
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(ValueError, match="nested more than 64 levels deep"):
        Document("x", metadata={"deep": deep})


def test_metadata_that_is_wide_is_not_deep(collection):
    wide = {"list": [[0] * 100] * 100, "deep": json.loads("[" * 60 + "]" * 60)}
    collection.index([Document("x", metadata=wide)])
    assert collection.search("x")[0].metadata == wide


@pytest.fixture
def abyss(tmp_path):
    """A folder with a note some 1200 folders deep, made and removed step by step."""
    start, levels = os.getcwd(), 1200
    os.chdir(tmp_path)
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
    Path("a.md").write_text("Deep.")
    os.chdir(start)
    yield tmp_path
    os.chdir(tmp_path)
    for _ in range(levels):
        os.chdir("d")
    os.unlink("a.md")
    for _ in range(levels):
        os.chdir("..")
        os.rmdir("d")
    os.chdir(start)


def test_folders_may_be_nested_deeper_than_python_recurses(abyss):
    assert [path.name for path in find_files(abyss).files] == ["a.md"]


@pytest.fixture
def linked(folder, tmp_path):
    """A folder with links: to itself, and to a file and a folder outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("A secret.")
    (folder / "secret.txt").symlink_to(outside / "secret.txt")
    (folder / "relative.txt").symlink_to("../outside/secret.txt")
    (folder / "outside").symlink_to(outside)
    (folder / "circle").symlink_to(folder)
    (folder / "again.md").symlink_to("good.md")
    return folder


def test_links_that_lead_out_are_followed_only_if_asked(index, linked):
    code, report, err = index(linked)
    assert (code, report["files"], len(report["links"])) == (0, 2, 4)
    assert f"a link that leads out of the folder: follow it with --follow-links: {linked}" in err
    _, report, _ = index(linked, "--follow-links")
    assert (report["files"], report["added"], report["links"]) == (5, 3, [])
    _, report, err = index(linked)
    assert (report["removed"], report["kept"], report["documents"]) == (0, 3, 5)
    assert "kept: 3 documents of hidden files or behind links" in err
    assert index(linked / "secret.txt")[1]["unchanged"] == 1  # named by the user
    assert index(linked / "secret.txt", "--remove")[1]["removed"] == 1


def test_a_link_to_nothing_is_named_and_what_it_gave_stays(index, folder, tmp_path):
    target = folder / "target.md"
    target.write_text("A target.")
    (folder / "link.md").symlink_to("target.md")
    index(folder)
    target.unlink()
    _, report, err = index(folder)
    assert (report["removed"], report["documents"]) == (1, 2)
    assert f"a link to a file that is not there: {folder}/link.md" in err


def test_a_pipe_is_not_read(folder):
    os.mkfifo(folder / "pipe.txt")
    assert [path.name for path in find_files(folder).files] == ["good.md"]


def test_names_reach_the_terminal_quoted(run, index, folder, tmp_path, model_options):
    options = ["--store", tmp_path / f"store{ESCAPE}", *model_options]
    (folder / f"{ESCAPE}.txt").write_bytes(b"\xff")
    (folder / f"{ESCAPE}.md").write_text("A named note.")
    (folder / f"{ESCAPE}.jsonl").write_text('{"text": "one"}\n{"\x1b": 1}\n{')
    (folder / f"{ESCAPE}link.md").symlink_to("/etc/passwd")
    printed = [
        run("index", folder, *options),
        run("search", "a named note", *options),
        run("index", folder / f"{ESCAPE}.jsonl", *options),
        run("index", folder / f"{ESCAPE}.png", *options),
        run("index", folder / f"{ESCAPE}.png", "--remove", *options),
        run("search", "x", "--store", tmp_path / f"{ESCAPE}nowhere"),
    ]
    assert [code for code, _, _ in printed] == [0, 0, 1, 1, 1, 1]
    for _, out, err in printed:
        assert all(char.isprintable() or char == "\n" for char in out + err)
    assert "\\x1b]0;owned\\x07\\x1b[31m.txt" in printed[0][2]
    assert "\\x1b]0;owned\\x07\\x1b[31m.md#1" in printed[1][1]


def test_names_among_wrong_arguments_are_quoted_too(run, capsys):
    with pytest.raises(SystemExit):
        run("index", "a", f"{ESCAPE}.md")
    assert "\x1b" not in capsys.readouterr().err


LINES = {
    "headings": "# x\n",
    "headings apart": "# x\n\n",
    "fences": "```\n# x\n",
    "fences that never close": "~~~~ a\n~~~\n",
    "blank": " \n\t\n",
    "words": "a # b ",
    "marks": "`",
    "paragraphs": "a\n\n",
}


def test_the_time_of_cutting_grows_with_the_text():
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("passages", {passages.__file__!r})
module = importlib.util.module_from_spec(spec)
sys.modules["passages"] = module
spec.loader.exec_module(module)
for lines in {list(LINES.values())!r}:
    module.passages(lines * (200_000 // len(lines)))
"""
    spec = importlib.util.find_spec("llm2vec_gen_rag.qdrant.reading.passages")
    assert spec.origin == passages.__file__
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("mark", ["```", "~~~", "````", "  ```"])
def test_fenced_code_is_one_block_and_its_comments_are_no_headings(mark):
    code = f"{mark}python\n# one\n\n# two\nx = 1\n\n\n# three\n{mark}"
    text = f"# Title\n\nText.\n{code}\n# After\nEnd."
    cut = passages.passages(text, len(code) + 1)
    assert cut == ["# Title\n\nText.", code.lstrip(), "# After\nEnd."]
    assert passages.passages(f"{code}\nmore", 1000) == [f"{code}\nmore".lstrip()]


def test_a_fence_that_is_not_closed_reaches_to_the_end():
    text = "```\n# one\n\n# two\n``\n~~~\n# three"
    assert passages.passages(text, 1000) == [text]
