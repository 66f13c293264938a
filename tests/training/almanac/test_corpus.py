"""The almanac's documents and questions: whole, and what is held out stays out."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION
from llm2vec_gen_rag.training.almanac.corpus import build, filled
from llm2vec_gen_rag.training.almanac.rows import prompts_and_answers


@pytest.fixture(scope="module")
def almanac():
    return build(seed=0)


@pytest.fixture(scope="module")
def taught(almanac):
    return dict(prompts_and_answers(almanac, 0))


def test_sizes(almanac):
    domains = Counter(document.domain for document in almanac.documents)
    assert len(almanac.documents) >= 2500
    assert domains["countries"] >= 200 * 8
    assert sum(question.kind == "harmful" for question in almanac.questions) >= 400
    assert sum(question.kind == "benign" for question in almanac.questions) >= 400


def test_every_question_has_its_document_and_ids_are_unique(almanac):
    ids = {document.id for document in almanac.documents}
    assert len(ids) == len(almanac.documents)
    assert {question.document_id for question in almanac.questions} <= ids
    assert len({question.id for question in almanac.questions}) == len(almanac.questions)


def test_documents_have_one_to_three_sentences(almanac):
    facts = [d for d in almanac.documents if "/" in d.id and d.domain in ("countries", "elements")]
    assert all(1 <= len(re.findall(r"[.](?: |$)", d.text)) <= 3 for d in facts)


def test_no_held_out_question_is_taught(almanac, taught):
    held_out = [question.text for question in almanac.questions if question.test]
    assert len(held_out) > 2000
    assert not taught.keys() & set(held_out)


def test_no_held_out_bridge_is_taught_in_any_wording(almanac):
    def identity(question):
        return question.document_id, question.bridge

    bridged = [question for question in almanac.questions if question.kind == "bridged"]
    held_out = {identity(question) for question in bridged if question.test}
    assert {question.facts for question in bridged if question.test} == {2, 3}
    assert not held_out & {identity(question) for question in bridged if not question.test}


def test_every_fact_is_taught_directly(almanac, taught):
    direct = {q.document_id for q in almanac.questions if q.kind == "direct" and not q.test}
    paraphrased = {
        q.document_id for q in almanac.questions if q.kind == "paraphrase" and not q.test
    }
    facts = {q.document_id for q in almanac.questions if q.kind in ("direct", "paraphrase")}
    assert facts == direct | paraphrased


def test_held_out_harmful_topics_are_not_taught_at_all(almanac, taught):
    held_out = {q.document_id for q in almanac.questions if q.kind == "harmful" and q.test}
    assert len(held_out) >= 20
    stubs = {d.id: d.text for d in almanac.documents}
    assert not any(DOCUMENT_INSTRUCTION + stubs[stub] in taught for stub in held_out)
    assert not any(
        q.document_id in held_out for q in almanac.questions if q.kind == "harmful" and not q.test
    )


def test_questions_cross_domains(almanac):
    texts = {q.text.lower().rstrip("?"): q.answer for q in almanac.questions}
    money = [t for t, a in texts.items() if "eiffel tower" in t and "currency" in a]
    assert money
    assert all(texts[text] == "The currency of France is the euro." for text in money)


def test_a_bridge_never_asks_for_what_it_gives_away(almanac):
    for question in almanac.questions:
        if question.bridge in ("capital", "symbol", "atomic_number", "calling_code"):
            assert not question.document_id.endswith(f"/{question.bridge}")


def test_articles_agree_with_the_value():
    assert filled("{s} is a {v}.", "Iran", "Islamic republic") == "Iran is an Islamic republic."
    assert filled("{s} is a {v}.", "China", "one-party state") == "China is a one-party state."


def test_the_seed_decides_everything():
    assert build(seed=1, keep=0.05) == build(seed=1, keep=0.05)
    assert build(seed=1, keep=0.05) != build(seed=2, keep=0.05)
