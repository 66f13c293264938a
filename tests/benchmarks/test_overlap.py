"""Texts that stand in the training rows are found, in part or as a whole."""

from __future__ import annotations

import json

import pytest

from benchmarks.real_texts.overlap import measure_overlap, nearest_jaccard, seen_shares
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag.evaluation.refusals import PromptSet
from llm2vec_gen_rag.training.smollm2.rows import QUERY_INSTRUCTION, safety_rows

TRAINED = "One two three four five six seven eight nine ten eleven twelve."


def test_a_text_is_seen_as_far_as_its_runs_of_eight_words_are():
    texts = [
        "one, two; three four five six seven EIGHT nine ten eleven twelve",
        "one two three four five six seven eight nine a b c d",  # two of its six runs
        "eight seven six five four three two one nine ten eleven twelve",
        "three four five",  # a short one is one run
        "three five",
        "...",
    ]
    assert seen_shares(texts, [TRAINED]) == pytest.approx([1, 2 / 6, 0, 1, 0, 0])


def test_runs_do_not_reach_from_one_training_text_into_the_next():
    assert seen_shares(["a b c d"], ["a b", "c d"]) == [0]
    assert seen_shares(["a b", "c d"], ["a b", "c d"]) == [1, 1]


def test_prompts_are_near_by_the_words_that_both_have():
    near = nearest_jaccard(["Pick a lock!", "a b c"], ["how to pick a lock", "lock a pick"])
    assert near == pytest.approx([1, 1 / 5])


def test_sets_and_prompts_are_counted(tmp_path):
    rows = tmp_path / "rows.jsonl"
    queries = ["Passage: " + TRAINED, "Question: who wrote it"]
    documents = [TRAINED, "Another text of more than eight words that nobody has trained."]
    beginning = " ".join(TRAINED.split()[:9])  # of which the first document has all
    queries = [*queries, f"Passage: {beginning}", "Passage: nobody has trained"]
    rows.write_text("".join(json.dumps({"query": query}) + "\n" for query in queries))
    asked = RetrievalSet("few", ["0", "1"], documents, ["q"], ["Who wrote it?"], [{"0": 1}])
    trained = safety_rows()[0].query.removeprefix(QUERY_INSTRUCTION)
    prompts = PromptSet("some", [trained.upper(), "zebra"], ["zebra"], paired=False)
    found = measure_overlap(rows, [asked], [prompts])
    assert (found["training_texts"], found["long_training_texts"]) == (4, 2)
    assert found["sets"]["few"] == {
        "documents": 2,
        "documents_seen": 1,
        "queries": 1,
        "queries_seen": 1,
        "training_texts_inside": 2,
    }
    near = found["prompts"]["some"]
    assert (near["harmful"], near["harmful_near"], near["safe_near"]) == (2, 1, 0)
    assert near["harmful_nearest"] == 1
