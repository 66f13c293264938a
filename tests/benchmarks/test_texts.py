"""The texts to embed, and their stand-in."""

from __future__ import annotations

import json
import statistics

import pytest

from benchmarks.texts import read_texts, sample, stand_in


def test_documents_are_title_and_text_of_a_folder(tmp_path):
    document = {"_id": "1", "title": "Seals", "text": "They swim."}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(document) + "\n", encoding="utf-8")
    query = {"_id": "2", "text": "who swims?"}
    (tmp_path / "queries_test.jsonl").write_text(json.dumps(query) + "\n", encoding="utf-8")
    texts = read_texts(tmp_path)
    assert texts.documents == ["Seals They swim."]
    assert texts.queries == ["who swims?"]
    assert texts.source == tmp_path.name


def test_a_folder_without_them_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"corpus\.jsonl"):
        read_texts(tmp_path)


def test_the_stand_in_is_the_same_every_time_and_as_long_as_scifact():
    texts = read_texts(None)
    assert texts == stand_in()
    words = [len(text.split()) for text in texts.documents]
    asked = [len(text.split()) for text in texts.queries]
    assert 190 < statistics.median(words) < 215
    assert max(words) > 500
    assert 9 < statistics.median(asked) < 14


def test_a_sample_repeats_only_when_it_must():
    texts = list("abcdefgh")
    assert sorted(sample(texts, 8)) == texts
    assert sample(texts, 3) == sample(texts, 8)[:3] == sample(texts, 3)
    assert sorted(sample(texts, 16)) == sorted(texts * 2)
