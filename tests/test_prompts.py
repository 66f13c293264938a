"""The instructions of tasks, on both sides."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, Prompts
from llm2vec_gen_rag.prompts.mteb import MTEB_INSTRUCTIONS

PROMPTS = Prompts()


@pytest.mark.parametrize("task", MTEB_INSTRUCTIONS)
def test_the_tasks_of_the_papers_benchmark_are_presets(task):
    assert PROMPTS.for_query(f"mteb/{task}") == MTEB_INSTRUCTIONS[task]


@pytest.mark.parametrize(
    ("task", "has_documents"),
    [
        ("retrieval", True), ("claims", True), ("bright/biology", True), ("sts", False),
        ("mteb/HotpotQAHardNegatives", True), ("mteb/AskUbuntuDupQuestions", True),
        ("mteb/Banking77Classification", False), ("mteb/STS17", False),
    ],
)  # fmt: skip
def test_documents_have_their_own_instruction_where_a_task_has_documents(task, has_documents):
    expected = DOCUMENT_INSTRUCTION if has_documents else PROMPTS.for_query(task)
    assert PROMPTS.for_document(task) == expected


def test_a_checkpoints_own_instruction_comes_first():
    own = Prompts(query={"mteb/STS17": "Mine: "}, document="Doc: ")
    assert own.for_query("mteb/STS17") == own.for_document("mteb/STS17") == "Mine: "
    assert own.for_document("mteb/FEVERHardNegatives") == "Doc: "


@pytest.mark.parametrize("task", ["STS17", "mteb/Cooking", "mteb/", "cooking"])
def test_an_unknown_task_is_reported(task):
    with pytest.raises(ValueError, match=rf"unknown task '{task}'; known tasks: .*mteb/NAME"):
        PROMPTS.for_query(task)
