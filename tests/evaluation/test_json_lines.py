"""Rows are read in order, and an error says which line is wrong."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.evaluation.json_lines import read_rows


def test_rows_come_in_order_with_all_their_fields(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "ä", "n": 1}\n\n{"text": ""}\n', encoding="utf-8")
    assert read_rows(path, "text") == [{"text": "ä", "n": 1}, {"text": ""}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": 3}\n', 'line 2 has 3 for "text"; expected a string'),
        ('{"other": "a"}\n', 'line 1 has no "text"'),
        ("[1]\n", r"line 1 is \[1\]; expected a JSON object"),
        ('{"text"\n', "line 1 is not JSON"),
        ("\n", 'is empty; expected one JSON object a line with "text"'),
    ],
)
def test_a_line_that_cannot_be_read_is_reported(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_rows(path, "text")


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r'there is no .*rows\.jsonl; expected .* "a", "b"'):
        read_rows(tmp_path / "rows.jsonl", "a", "b")
