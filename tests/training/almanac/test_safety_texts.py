"""The hand-written safety texts: whole, distinct, findable, and free of operational detail."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FACTS = Path(__file__).parents[3] / "training" / "almanac" / "facts"
WITHHELD = "[content withheld]"

# an amount with a unit is what turns a sentence into a dose or a recipe
AMOUNT = re.compile(
    r"(\d+|\b(one|two|three|four|five|six|seven|eight|nine|ten|half an?|a few))[ -]?"
    r"(mg|ml|cl|kg|g|oz|gram(me)?s?|milligram(me)?s?|kilo(gram(me)?)?s?|millilit(er|re)s?"
    r"|lit(er|re)s?|ounces?|drops|tablets|pills|percent|degrees|volts|molar)\b|\d\s?%",
    re.IGNORECASE,
)
PRECURSOR = re.compile(
    r"acetone|ammonium|chlorate|chlorine|cyanide|ephedrine|fentanyl|fertili[sz]er|gunpowder"
    r"|lithium|nitrate|nitro|peroxide|phosphorus|ricin|sulfur|sulphur|thermite|antifreeze",
    re.IGNORECASE,
)
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the i me my you your it its is are be to of in on at for with and or how do does "
        "what best way help teach want write can cannot should so that from by this describes ways "
        "library not if out about into up his her he she they them their who when which whats cant",
    )
)


def read_lines(name: str) -> list[dict[str, Any]]:
    text = (FACTS / name).read_text(encoding="ascii")
    return [json.loads(line) for line in text.splitlines()]


REFUSALS = read_lines("refusals.jsonl")
HARMFUL = read_lines("harmful.jsonl")
BENIGN = read_lines("benign.jsonl")
HELP = read_lines("help.jsonl")
CATEGORIES = {row["category"] for row in REFUSALS}


def normalised(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def content_stems(text: str) -> set[str]:
    """The first five letters of each content word, so that inflected forms meet."""
    words = re.findall(r"[a-z]+", text.lower().replace("'", ""))
    return {word[:5] for word in words if word not in STOP_WORDS}


def strings(row: dict[str, Any]) -> list[str]:
    listed = [value if isinstance(value, list) else [value] for value in row.values()]
    return [text for values in listed for text in values if isinstance(text, str)]


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        (REFUSALS, {"category": str, "refusal": str}),
        (
            HARMFUL,
            {
                "topic": str,
                "category": str,
                "title": str,
                "stub": str,
                "held_out": bool,
                "requests": list,
            },
        ),
        (
            BENIGN,
            {
                "topic": str,
                "looks_like": str,
                "title": str,
                "page": str,
                "answer": str,
                "questions": list,
            },
        ),
        (HELP, {"category": str, "title": str, "page": str, "summary": str, "policy": bool}),
    ],
    ids=["refusals", "harmful", "benign", "help"],
)
def test_every_line_has_its_fields_and_no_other(
    rows: list[dict[str, Any]], fields: dict[str, type]
) -> None:
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == fields, row
        assert all(text == text.strip() and text for text in strings(row)), row


def test_there_are_enough_of_each_kind() -> None:
    assert len(CATEGORIES) >= 12
    assert len(HELP) >= 40
    assert sum(len(row["requests"]) for row in HARMFUL) >= 400
    assert sum(len(row["questions"]) for row in BENIGN) >= 400
    assert min(len(row["requests"]) for row in HARMFUL) >= 6
    assert min(len(row["questions"]) for row in BENIGN) >= 6


def test_categories_agree_across_the_files() -> None:
    assert len(REFUSALS) == len(CATEGORIES)
    assert {row["category"] for row in HARMFUL} == CATEGORIES
    assert {row["looks_like"] for row in BENIGN} == CATEGORIES
    assert {row["category"] for row in HELP} == CATEGORIES


def test_no_request_or_question_is_written_twice() -> None:
    asked = [text for row in HARMFUL for text in row["requests"]]
    asked += [text for row in BENIGN for text in row["questions"]]
    counts = Counter(map(normalised, asked))
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_topic_or_title_is_written_twice() -> None:
    topics = Counter(row["topic"] for row in HARMFUL + BENIGN)
    titles = Counter(normalised(row["title"]) for row in HARMFUL + BENIGN + HELP)
    assert max(topics.values()) == 1, topics.most_common(3)
    assert max(titles.values()) == 1, titles.most_common(3)


def test_whole_topics_are_held_out_in_every_category() -> None:
    held_out = Counter(row["category"] for row in HARMFUL if row["held_out"])
    assert set(held_out) == CATEGORIES
    assert held_out.total() <= len(HARMFUL) / 3


def test_held_out_requests_share_words_with_training_topics() -> None:
    for row in HARMFUL:
        if not row["held_out"]:
            continue
        known = {
            stem
            for other in HARMFUL
            if other["category"] == row["category"] and not other["held_out"]
            for request in other["requests"]
            for stem in content_stems(request)
        }
        unknown = [text for text in row["requests"] if not content_stems(text) & known]
        assert unknown == [], row["topic"]


def test_requests_are_short_everyday_sentences() -> None:
    for row in HARMFUL:
        for request in row["requests"]:
            assert 4 <= len(request.split()) <= 16, request


def test_every_refusal_is_short_first_person_and_distinct() -> None:
    used: Counter[str] = Counter()
    for row in REFUSALS:
        assert row["refusal"].startswith("I can't help with "), row
        assert 12 <= len(row["refusal"].split()) <= 22, row
        used.update(content_stems(row["refusal"]))
    assert [stem for stem, count in used.items() if count > 1] == []


def test_every_stub_is_one_sentence_with_its_content_withheld() -> None:
    for row in HARMFUL:
        sentence, _, rest = row["stub"].partition(WITHHELD)
        assert rest == "", row
        assert WITHHELD in row["stub"], row
        assert sentence.count(".") == 1, row
        assert len(sentence.split()) <= 25, row


def test_every_request_meets_the_words_of_its_stub() -> None:
    for row in HARMFUL:
        words = content_stems(row["title"] + " " + row["stub"])
        strays = [text for text in row["requests"] if not content_stems(text) & words]
        assert strays == [], row["topic"]


def test_every_benign_question_and_answer_meets_the_words_of_its_page() -> None:
    for row in BENIGN:
        words = content_stems(row["title"] + " " + row["page"])
        texts = [*row["questions"], row["answer"]]
        assert [text for text in texts if len(content_stems(text) & words) < 2] == []


def test_answers_and_summaries_are_one_short_sentence() -> None:
    for text in [row["answer"] for row in BENIGN] + [row["summary"] for row in HELP]:
        assert 8 <= len(text.split()) <= 18, text
        assert text.endswith("."), text


def test_each_category_has_one_policy_page_and_it_echoes_the_refusal() -> None:
    policies = {row["category"]: content_stems(row["page"]) for row in HELP if row["policy"]}
    assert sum(row["policy"] for row in HELP) == len(policies) == len(CATEGORIES)
    for row in REFUSALS:
        stems = content_stems(row["refusal"])
        overlap = {name: len(stems & words) for name, words in policies.items()}
        assert max(overlap, key=lambda name: overlap[name]) == row["category"]
        assert overlap[row["category"]] >= 0.9 * len(stems), row


def test_no_text_holds_an_amount_or_a_precursor() -> None:
    for row in REFUSALS + HARMFUL + BENIGN + HELP:
        for text in strings(row):
            assert not AMOUNT.search(text), text
            assert not PRECURSOR.search(text), text


def test_requests_and_stubs_hold_no_figures_and_no_addresses() -> None:
    for row in HARMFUL:
        for text in strings(row):
            assert not re.search(r"\d|https?:|www\.|@|\n", text), text


@pytest.mark.parametrize(
    "text", ["take 20 mg", "add two grams of it", "5ml in water", "at 30 % strength", "ten pills"]
)
def test_the_amount_check_recognises_a_dose(text: str) -> None:
    assert AMOUNT.search(text)
