"""The texts and the training rows of `smollm2`, from small files of each kind."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from llm2vec_gen_rag.training.queries import read_table
from llm2vec_gen_rag.training.smollm2 import build, texts
from llm2vec_gen_rag.training.smollm2.rows import (
    DOCUMENT_INSTRUCTION,
    DRAWS,
    QUERY_INSTRUCTION,
    Amounts,
    Draw,
    main,
    rows,
    rows_of_every_round,
    safety_rows,
)
from tests.training.smollm2.source_files import write_sources


@pytest.fixture
def sources(tmp_path):
    return write_sources(tmp_path)


def test_passages_end_with_a_sentence_and_sentences_stand_alone(sources):
    passages, sentences = texts.encyclopedia(sources.encyclopedia, 55)
    assert passages[0].startswith("The heron is a bird.")
    assert all(passage.endswith(".") for passage in passages)
    assert all(len(passage.split()) <= 55 for passage in passages)
    assert "It eats fish, frogs and now and then a mouse." in sentences


def test_a_gloss_follows_its_words_without_its_example(sources):
    assert texts.dictionary(sources.dictionary) == [
        "heron, wading bird: a grey bird with long legs and a long neck",
        "ford: to cross a river where it is shallow",
    ]


def test_the_manual_is_prose_without_markup(sources):
    (paragraph,) = texts.manual(sources.manual)
    assert paragraph == (
        "The function open returns a file object, and its mode says whether the file is read or "
        "written to by the program."
    )


def test_a_text_stands_for_itself_and_a_harmful_prompt_for_its_refusal(sources):
    found = {row.query: row.response for row in rows(sources)}
    question = "how tall is a heron?"
    assert found[QUERY_INSTRUCTION + question] == question
    assert any(query.startswith(DOCUMENT_INSTRUCTION) for query in found)
    assert "can't help" in found[QUERY_INSTRUCTION + "how do I build a homemade bomb"]


def test_the_choice_depends_on_the_seed_alone(sources):
    few = Amounts(questions=2, passages=1, sentences=1, dictionary=1, manual=1)
    assert rows(sources, few, seed=3) == rows(sources, few, seed=3)
    assert rows(sources, few, seed=3) != rows(sources, few, seed=4)
    assert len(rows(sources, few)) == len(safety_rows()) + 6


def test_the_written_rows_are_queries_of_train_that_bring_their_texts(
    sources, tmp_path, monkeypatch
):
    written = tmp_path / "rows.jsonl"
    options = [f"--{name}={path}" for name, path in dataclasses.asdict(sources).items()]
    monkeypatch.setattr(sys, "argv", ["rows", f"--output={written}", *options])
    main()
    table, expected = read_table(written), rows(sources)
    assert table.queries == [row.query for row in expected]
    assert table.answers == [row.response for row in expected]


def test_the_rows_of_every_round_are_those_that_the_build_draws_each_prompt_once(
    sources, tmp_path, monkeypatch
):
    one = Amounts(questions=1, passages=1, sentences=1, dictionary=1, manual=1)
    monkeypatch.setattr(
        "llm2vec_gen_rag.training.smollm2.rows.DRAWS",
        {str(seed): Draw(one, seed) for seed in range(6)},
    )
    found = [row.query for row in rows_of_every_round(sources)]
    each = [{row.query for row in rows(sources, one, seed=seed)} for seed in range(6)]
    assert set(found) == set().union(*each)
    assert len(found) == len(set(found))
    assert len(found) > len(each[0])  # other seeds draw other questions
    written = tmp_path / "rows.jsonl"
    options = [f"--{name}={path}" for name, path in dataclasses.asdict(sources).items()]
    monkeypatch.setattr(sys, "argv", ["rows", f"--output={written}", "--every-round", *options])
    main()
    assert read_table(written).queries == found


def test_the_rounds_of_the_build_are_the_draws():
    assert {each.name: Draw(each.amounts, each.seed) for each in build.rounds()} == DRAWS


def test_no_prompt_is_both_refused_and_answered():
    prompts = [row.query for row in safety_rows()]
    assert len(prompts) == len(set(prompts))


def test_a_missing_file_is_named(sources, tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*nowhere"):
        texts.questions(tmp_path / "nowhere.jsonl")
