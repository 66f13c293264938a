"""Files: the one JSON Lines reader, files written whole or not at all, disk errors in words."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.files import (
    read_json_lines,
    replacing,
    storing,
    text_lines,
    write_json,
    write_text,
)


def test_json_lines_come_with_their_place_and_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "\xc3\xa4"}\r\n\n  \n{"text": "", "n": 1}')
    assert list(read_json_lines(path, "text")) == [
        (f"{path}, line 1", {"text": "ä"}),
        (f"{path}, line 4", {"text": "", "n": 1}),
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'["text"]', r"is \['text'\]"),
        (b'{"text": 3}', 'has 3 for "text"'),
        (b'{"other": "a"}', 'has no "text"'),
    ],
)
def test_a_wrong_line_says_what_was_found_what_was_expected_and_what_to_do(tmp_path, line, found):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "whole"}\n' + line + b"\n")
    rows = read_json_lines(path, "text")
    next(rows)
    message = rf'rows\.jsonl, line 2 {found}.*; expected .*{{"text": "\.\.\."}}\. Fix or delete'
    with pytest.raises(ValueError, match=message):
        next(rows)


def test_text_is_read_by_lines_and_what_is_not_utf_8_is_reported():
    assert text_lines(b"\xef\xbb\xbfa\r\n\n b \n", "q.txt") == ["a", "", " b "]
    with pytest.raises(ValueError, match=r"q\.txt is not UTF-8 at byte 2; .*iconv"):
        text_lines("größe".encode("latin-1"), "q.txt")


def write_half(path):
    """Stop in the middle of writing a file."""
    with replacing(path) as partial:
        partial.write_text("half")
        raise KeyError


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"ä": 1})
    assert path.read_text(encoding="utf-8") == '{\n  "ä": 1\n}\n'
    with pytest.raises(KeyError):
        write_half(path)
    assert path.read_text(encoding="utf-8") == '{\n  "ä": 1\n}\n'
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_an_error_of_the_disk_says_what_is_kept_and_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    message = r"the log cannot be written \(File exists\); the rest is kept\. Free disk space"
    with pytest.raises(StorageError, match=message), storing("the log", "the rest is kept"):
        write_text(tmp_path / "file" / "log.txt", "")


def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path):
    target, link = tmp_path / "real.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
