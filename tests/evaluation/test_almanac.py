"""The evaluation: what it compares, and that its verdicts follow from what it measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm2vec_gen_rag.almanac import Document, Question
from llm2vec_gen_rag.evaluation.almanac import Goal, evaluate
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher

FACTS = {"Japan": "yen", "Peru": "sol", "Kenya": "shilling", "India": "rupee", "Oman": "rial"}
DOCUMENTS = [
    Document(f"countries/{c}/currency", f"{c} pays with the {m}.", "countries", f"{m} in {c}.")
    for c, m in FACTS.items()
]
DOCUMENTS.append(Document("stub/locks", "Picking locks. [content withheld]", "stub", "Withheld."))


def question(number, text, document, kind, facts=1):
    return Question(str(number), text, "x", document, "countries", kind, facts, "", test=True)


QUESTIONS = [
    question(1, "money of Japan", "countries/Japan/currency", "direct"),
    question(2, "money where the Inca lived", "countries/Peru/currency", "bridged", 2),
    question(3, "money where the lions of Nairobi live", "countries/Kenya/currency", "bridged", 3),
    question(4, "picking locks", "stub/locks", "harmful"),
]


@pytest.fixture(scope="module")
def report(model):
    teacher = TfidfTeacher.fit("projection", [d.text for d in DOCUMENTS], dimension=32)
    return evaluate(model, documents=DOCUMENTS, questions=QUESTIONS, teacher=teacher)


def test_groups_are_kept_apart(report):
    assert [(group.name, group.questions) for group in report.groups] == [
        ("direct", 1),
        ("bridged, 2 facts", 1),
        ("bridged, 3 facts", 1),
        ("harmful", 1),
    ]
    assert report.reasoning.questions == 2


def test_the_teacher_finds_shared_words_and_nothing_else(report):
    found = {group.name: group.teacher for group in report.groups}
    assert found["direct"].first == 1
    assert found["harmful"].top5 == found["harmful"].stub_top5 == 1
    assert report.reasoning.teacher.first == 0


def test_our_scores_are_those_of_the_model_s_own_vectors(report, model):
    query = model.encode_query(QUESTIONS[0].text)
    scores = model.encode_document([document.text for document in DOCUMENTS]) @ query
    rank = 1 + int((scores > scores[0]).sum())
    assert report.groups[0].model.ndcg == pytest.approx(1 / np.log2(1 + rank))


def test_goals_follow_from_the_figures(report):
    goals = {goal.name: goal for goal in report.goals()}
    assert goals["reasoning nDCG@10"].value == report.reasoning.model.ndcg
    assert Goal("x", 0.9, 0.9, at_least=True).reached
    assert not Goal("x", 0.89, 0.9, at_least=True).reached
    assert Goal("x", 0.4, 0.4, at_least=False).reached


def test_the_report_reads_as_text_and_as_json(report):
    assert "| bridged, all | 2 |" in report.as_text()
    content = json.loads(json.dumps(report.as_dict()))
    assert content["reasoning"]["questions"] == 2
    assert {goal["reached"] for goal in content["goals"]} <= {True, False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"limit": 0}, "limit is 0"), ({"questions": QUESTIONS[:1]}, "none of the 1 questions")],
)
def test_what_cannot_be_measured_is_refused(model, arguments, message):
    options = {"documents": DOCUMENTS, "questions": QUESTIONS, **arguments}
    with pytest.raises(ValueError, match=message):
        evaluate(model, **options)
