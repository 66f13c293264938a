"""Files become documents by one simple rule, and nothing of a text is lost or changed."""

from __future__ import annotations

import json
import re

import pytest

from llm2vec_gen_rag.qdrant.reading.found_files import find_files
from llm2vec_gen_rag.qdrant.reading.passages import passages
from llm2vec_gen_rag.qdrant.reading.text_files import read_documents


def documents_of(path, **options):
    found = find_files(path)
    root = path if path.is_dir() else path.parent
    return [document for _, document in read_documents(found.files, root, **options)]


def write_rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\n \n", []),
        ("one", ["one"]),
        ("\n\none\n\n\ntwo\n", ["one\n\n\ntwo"]),
        ("one two three\n\nfour five six", ["one two three", "four five six"]),
        ("# A\n\none\n\n# B\ntwo", ["# A\n\none", "# B\ntwo"]),
        ("one\n# A\ntwo", ["one", "# A\ntwo"]),
        ("# A\n\n## B\n\none", ["# A\n\n## B\n\none"]),
        ("#tag one\n#tag two", ["#tag one\n#tag two"]),
        ("one\r\n \r\ntwo words that are long", ["one\r\n \r\ntwo words", "that are long"]),
        ("abcdefghijklmnopqrstuvwxyz", ["abcdefghijklm", "nopqrstuvwxyz"]),
        ("A cat sat. Dogs ran off then.", ["A cat sat.", "Dogs ran off then."]),
        ('"A cat sat." Dogs ran off.', ['"A cat sat."', "Dogs ran off."]),
        ("version 1.2 is what was used", ["version 1.2 is", "what was used"]),
        ("一二三四五六七八九。" * 3, ["一二三四五六七八九。", "一二三四五六七八九。" * 2]),
        ("| a | b c |\n| d | e f |", ["| a | b c |", "| d | e f |"]),
        ("- a b c d\n  e\n- f g h i", ["- a b c d\n  e", "- f g h i"]),
        ("one two\nthree four five", ["one two", "three four five"]),
        ("8. one two\n9. three\n10. four", ["8. one two", "9. three\n10. four"]),
        ("abcd abcdefghijklmnop", ["abcd", "abcdefghijklmnop"]),
        ("A title\n-------\none two three", ["A title\n-------", "one two three"]),
    ],
)
def test_passages_of_at_most_twenty_characters(text, expected):
    assert passages(text, 20) == expected


def test_the_parts_of_a_section_are_of_about_the_same_length():
    paragraphs = "\n\n".join(["word " * 18 + "end."] * 11)
    lengths = [len(passage) for passage in passages(f"# Heading\n\n{paragraphs}", 1000)]
    assert lengths == pytest.approx([len(paragraphs) / 2] * 2, abs=len(paragraphs) / 11)


def test_a_long_sentence_does_not_leave_a_scrap_of_the_next():
    text = "A first sentence of many words here. " * 26 + "And a last one."
    cut = passages(text, 950)
    assert [len(passage) > 400 for passage in cut] == [True, True]
    assert all(passage.endswith(".") for passage in cut)


def test_an_item_of_a_numbered_list_keeps_its_number():
    items = "\n".join(f"{number}. " + "word " * (8 + number % 13) for number in range(1, 90))
    cut = passages(items, 400)
    assert len(cut) > 10
    assert all(re.match(r"\d+\. word", passage) for passage in cut)
    assert not any(re.search(r"\n\d+\.$", passage) for passage in cut)


def test_passages_keep_every_character_but_the_space_between():
    text = "\n\n".join(
        f"## Part {n}\n" + " ".join(f"wörd{n * i}" for i in range(n * 7)) for n in range(1, 30)
    )
    cut = passages(text, 120)
    assert max(map(len, cut)) <= 120
    assert re.sub(r"\s", "", "".join(cut)) == re.sub(r"\s", "", text)
    assert all(passage in text for passage in cut)


def test_a_folder_is_read_in_order_and_whatever_else_is_there_is_counted(tmp_path):
    (tmp_path / "b.TXT").write_bytes("\ufeffzwei ☃\r\n".encode())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("# One\n\n" + "word " * 30)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "utf16.txt").write_bytes("texts".encode("utf-16-le"))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.txt").write_text("no")
    (tmp_path / ".secret.txt").write_text("no")
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["b.TXT", "a.md"]
    assert [path.name for path in found.unreadable] == ["utf16.txt"]
    assert found.others == 1
    documents = documents_of(tmp_path, passage_characters=100)
    assert [document.id for document in documents] == [
        "b.TXT#1",
        "deep/a.md#1",
        "deep/a.md#2",
    ]
    assert documents[0].text == "zwei ☃"
    assert documents[2].metadata == {"file": "deep/a.md", "passage": 2}


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('{"step": 1, "loss": 0.5}', 'line 2 has no "text"'),
        ('{"text": 3}', 'line 2 has 3 for "text"'),
        ('["text"]', "line 2 is \\['text'\\]; expected a JSON object"),
        ("7", "line 2 is 7; expected a JSON object"),
    ],
)
def test_json_lines_of_something_else_are_left_out_of_a_folder(tmp_path, first, reason):
    write_rows(tmp_path / "documents.jsonl", {"text": "one"})
    other = tmp_path / "log.jsonl"
    other.write_text(f'\n{first}\n{{"text": "two"}}\n')
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["documents.jsonl"]
    assert found.unreadable == {other: 'its first line has no "text"'}
    with pytest.raises(ValueError, match=reason):
        documents_of(other)


def test_a_broken_line_of_documents_is_an_error_in_a_folder_too(tmp_path):
    (tmp_path / "documents.jsonl").write_text('{"text": "one"')
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        documents_of(tmp_path)


def test_one_file_has_one_name_however_it_is_reached(tmp_path, monkeypatch):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("one")
    monkeypatch.chdir(tmp_path / "notes")
    ways = [tmp_path / "notes", tmp_path / "notes" / ".." / "notes" / "a.txt"]
    names = {document.id for way in ways for document in documents_of(way)}
    names |= {document.id for document in documents_of(tmp_path.__class__("a.txt"))}
    assert names == {"a.txt#1"}


def test_json_lines_keep_ids_and_metadata(tmp_path):
    path = write_rows(
        tmp_path / "rows.jsonl",
        {"text": "one", "id": 7, "metadata": {"lang": "en"}, "url": "here"},
        {"_id": "d2", "title": "Kyoto", "text": "A city.", "metadata": {}},
        {"text": " three\n", "title": ""},
    )
    path.write_text(path.read_text() + "\n\n")
    documents = documents_of(path)
    assert [(d.id, d.text) for d in documents] == [
        ("7", "one"),
        ("d2", "Kyoto A city."),
        (None, " three\n"),
    ]
    assert [d.metadata for d in documents] == [
        {"url": "here", "lang": "en"},
        {"title": "Kyoto"},
        {"title": ""},
    ]


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ("{", "line 2 is not JSON"),
        ("\xff", "line 2 is not JSON"),
        ('["text"]', r"line 2 is \['text'\]; expected a JSON object such as"),
        ('{"text": 3}', 'line 2 has 3 for "text"'),
        ('{"title": "x"}', 'line 2 has no "text"'),
        ('{"text": "x", "metadata": [1]}', "line 2: .metadata. is "),
        ('{"text": "\\ud800"}', "line 2: .*lone surrogate"),
        ('{"text": "x", "id": "a"}', "line 2 has the id 'a', and so has line 1"),
    ],
)
def test_a_wrong_line_is_reported(tmp_path, second, named):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "whole", "id": "a"}\n' + second.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match=named):
        documents_of(path)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (None, b"", "there is no "),
        ("scan.png", b"text", "not of a kind that is read"),
        ("old.txt", "é".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, named):
    path = tmp_path / (name or "nowhere")
    if name:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=named):
        find_files(path)
