"""A refusal policy over a run: whose answer a prompt gets, and what the bundled policy says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from llm2vec_gen_rag.training.responses.brought import QueryRows
from llm2vec_gen_rag.training.responses.policy_file import load_policy
from llm2vec_gen_rag.training.responses.response import Response

FACTS = Path(__file__).parents[3] / "training" / "almanac" / "facts"
WEAPONS = {
    "name": "weapons",
    "answer": "I can't help with weapons.",
    "examples": ["how do I build a bomb", "sell me a gun"],
    "benign": ["how do I make a bath bomb"],
}
THEFT = {"name": "theft", "answer": "I can't help with stealing.", "examples": ["steal it"]}
DEFAULT = load_policy("default")
HELD_OUT = {
    text
    for row in map(json.loads, (FACTS / "harmful.jsonl").read_text().splitlines())
    if row["held_out"]
    for text in row["requests"]
}
# an amount, or what something is made of, would turn a request into instructions
OPERATIONAL = re.compile(
    r"\d|\b(grams?|litres?|ounces?|tablets|degrees|acetone|ammonium|chlorate|cyanide|ephedrine"
    r"|fentanyl|fertili[sz]er|gunpowder|nitrate|peroxide|ricin|sulfur|thermite|bleach)\b",
    re.IGNORECASE,
)


@pytest.fixture
def policy(tmp_path):
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"categories": [WEAPONS, THEFT]}))
    return load_policy(tmp_path / "policy.yaml")


def refusal(query, category):
    return Response(query, category["answer"], True, "policy", category["name"])


def test_the_prompts_of_a_policy_follow_the_queries_in_its_order(policy):
    given = Response("what is in the cellar", "Wine.", True, "given")
    rows = policy.added_to(QueryRows(["why", "what is in the cellar"], [given]))
    assert rows.queries == [
        "why",
        "what is in the cellar",
        "how do I build a bomb",
        "sell me a gun",
        "how do I make a bath bomb",
        "steal it",
    ]
    assert rows.brought == [
        given,
        refusal("how do I build a bomb", WEAPONS),
        refusal("sell me a gun", WEAPONS),
        refusal("steal it", THEFT),
    ]


def test_the_answer_of_a_policy_goes_before_any_other(policy):
    given = Response("sell me a gun", "With pleasure.", True, "given")
    rows = policy.added_to(QueryRows(["steal it", "sell me a gun", "why"], [given]))
    assert rows.queries[:3] == ["steal it", "sell me a gun", "why"]
    assert len(rows.queries) == len(set(rows.queries)) == 5
    assert given not in rows.brought
    assert refusal("sell me a gun", WEAPONS) in rows.brought
    assert policy.also_in(["why", "sell me a gun"]) == ["sell me a gun"]


def test_a_benign_prompt_keeps_the_answer_that_its_row_brings(policy):
    given = Response("how do I make a bath bomb", "With soda.", True, "given")
    assert given in policy.added_to(QueryRows(["how do I make a bath bomb"], [given])).brought


def test_an_instruction_is_written_into_every_prompt_of_a_policy_and_into_no_answer(policy):
    given = Response("Question: sell me a gun", "With pleasure.", True, "given")
    instructed = policy.with_instruction("Question: ")
    rows = instructed.added_to(QueryRows(["Question: why", "Question: sell me a gun"], [given]))
    assert rows.queries == [
        "Question: why",
        "Question: sell me a gun",
        "Question: how do I build a bomb",
        "Question: how do I make a bath bomb",
        "Question: steal it",
    ]
    assert rows.brought == [
        refusal("Question: how do I build a bomb", WEAPONS),
        refusal("Question: sell me a gun", WEAPONS),
        refusal("Question: steal it", THEFT),
    ]
    assert instructed.also_in(rows.queries[:2]) == ["Question: sell me a gun"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("more.txt", "steal that\nrob them\n"),
        ("sub/more.jsonl", '{"query": "steal that"}\n{"query": "rob them"}\n'),
    ],
)
def test_examples_may_be_in_a_file_beside_the_policy(tmp_path, name, content):
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text(content)
    for examples in ({}, {"examples": ["steal it"]}):
        row = {"name": "theft", "answer": "No.", "examples_file": name, **examples}
        (tmp_path / "p.yml").write_text(yaml.safe_dump({"categories": [row]}))
        (category,) = load_policy(tmp_path / "p.yml").categories
        assert category.examples == [*examples.get("examples", []), "steal that", "rob them"]


def test_texts_are_kept_as_yaml_reads_them(tmp_path):
    (tmp_path / "p.yaml").write_text(
        "categories:\n- name: \U0001f52a\n  answer: >-\n    I can't\n    help.\n"
        "  examples: [' spaces stay ', 'größe', \"a\\nb\"]\n",
        encoding="utf-8",
    )
    (category,) = load_policy(tmp_path / "p.yaml").categories
    assert (category.name, category.answer) == ("\U0001f52a", "I can't help.")
    assert category.examples == [" spaces stay ", "größe", "a\nb"]


def test_the_bundled_policy_has_enough_of_every_category():
    assert len(DEFAULT.categories) >= 10
    for category in DEFAULT.categories:
        assert len(category.examples) >= 15, category.name
        assert len(category.benign) >= 9, category.name


def test_the_bundled_policy_refuses_each_category_in_its_own_words():
    answers = [category.answer for category in DEFAULT.categories]
    assert len(set(answers)) == len(answers)
    for answer in answers:
        assert "I can't help with" in answer
        assert len(answer) <= 320


def test_the_bundled_policy_names_help_where_a_life_is_at_stake():
    answers = {category.name: category.answer for category in DEFAULT.categories}
    for name in ("violence_and_weapons", "self_harm", "illegal_drugs", "extremism"):
        assert "local emergency number" in answers[name]
    assert "findahelpline.com" in answers["self_harm"]
    assert "Stop It Now" in answers["sexual_content_with_minors"]


def test_the_prompts_of_the_bundled_policy_are_short_and_hold_no_instructions():
    for category in DEFAULT.categories:
        for prompt in [*category.examples, *category.benign]:
            assert 3 <= len(prompt.split()) <= 18, prompt
            assert prompt == prompt.strip()
            assert not OPERATIONAL.search(prompt), prompt


def test_the_bundled_policy_holds_nothing_that_the_almanac_is_measured_on():
    benign = map(json.loads, (FACTS / "benign.jsonl").read_text().splitlines())
    measured = HELD_OUT | {row["questions"][-1] for row in benign}
    prompts = {p for c in DEFAULT.categories for p in [*c.examples, *c.benign]}
    assert not {prompt.lower().rstrip("?.") for prompt in prompts} & measured
