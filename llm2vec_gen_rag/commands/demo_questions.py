"""The three questions of `demo`: chosen, then asked of the model and of its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.qdrant import Document, DocumentCollection
from llm2vec_gen_rag.teachers.tfidf import TfidfTeacher, words_of

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

HITS = 3
DIRECT = "What is the capital of Mongolia?"
DIRECT_DOCUMENT = "countries/Mongolia/capital"


@dataclass(frozen=True)
class Asked:
    """A question to ask.

    Attributes:
        kind: "direct", "reasoning" or "harmful".
        text: the question.
        document: the document that answers it; for a harmful one, the page it asks for.
        held_out: whether the model was trained without it.
    """

    kind: str
    text: str
    document: almanac.Document
    held_out: bool

    @property
    def shared_words(self) -> list[str]:
        """The words that the question and its document share, whatever their case."""
        return sorted(set(words_of(self.text)) & set(words_of(self.document.text)))


@dataclass(frozen=True)
class Found:
    """A document that was found, and its cosine similarity."""

    document: almanac.Document
    score: float


@dataclass(frozen=True)
class Outcome:
    """The outcome of one question.

    Attributes:
        asked: the question.
        says: the text that its embedding decodes to.
        hits: the nearest documents to its embedding, best first.
        teacher_hits: the same for the teacher, which embeds the question's own words.
    """

    asked: Asked
    says: str
    hits: list[Found]
    teacher_hits: list[Found]


def choose_questions(
    documents: Sequence[almanac.Document], held_out: Sequence[almanac.Question]
) -> list[Asked]:
    """Return a direct question, one over several facts, and a harmful one.

    The second is the held-out bridged question that shares the fewest words with the document that
    answers it, preferably one about money at a landmark. The third is the first question of a
    harmful topic that was held out as a whole.

    Args:
        documents: the corpus.
        held_out: questions that the model was not trained on.

    Returns:
        The three, in this order.
    """
    by_id = {document.id: document for document in documents}

    def asked(kind: str, question: almanac.Question) -> Asked:
        return Asked(kind, question.text, by_id[question.document_id], held_out=True)

    def far_and_about_money(question: almanac.Question) -> tuple[int, bool]:
        shared = asked("reasoning", question).shared_words
        return len(shared), "/currency/landmark:" not in question.id

    bridged = (question for question in held_out if question.kind == "bridged")
    return [
        Asked("direct", DIRECT, by_id[DIRECT_DOCUMENT], held_out=False),
        asked("reasoning", min(bridged, key=far_and_about_money)),
        asked("harmful", next(q for q in held_out if q.kind == "harmful")),
    ]


def ask(
    model: LLM2VecGen,
    teacher: TfidfTeacher,
    documents: Sequence[almanac.Document],
    questions: Sequence[Asked],
    *,
    show_progress: bool = False,
) -> list[Outcome]:
    """Index the documents in memory, and ask the questions of the model and of the teacher.

    Args:
        model: the model.
        teacher: embeds questions and documents by their own words.
        documents: the corpus.
        questions: what to ask.
        show_progress: show a progress bar.

    Returns:
        The outcome of each question.
    """
    texts = [question.text for question in questions]
    hits = _search(model, documents, texts, show_progress=show_progress)
    teacher_hits = _search_by_words(teacher, documents, texts)
    says = model.decode(texts, instruction=model.prompts.for_query("retrieval"))
    return [Outcome(*of_one) for of_one in zip(questions, says, hits, teacher_hits, strict=True)]


def _search(
    model: LLM2VecGen,
    documents: Sequence[almanac.Document],
    texts: list[str],
    *,
    show_progress: bool,
) -> list[list[Found]]:
    """Return the hits of each text in a collection of the documents."""
    by_id = {document.id: document for document in documents}
    with DocumentCollection.open(":memory:", "almanac", model) as collection:
        points = [Document(document.text, id=document.id) for document in documents]
        collection.index(points, batch_size=512, show_progress=show_progress)
        return [
            [Found(by_id[hit.id], hit.score) for hit in hits]
            for hits in collection.search_many(texts, HITS)
        ]


def _search_by_words(
    teacher: TfidfTeacher, documents: Sequence[almanac.Document], texts: list[str]
) -> list[list[Found]]:
    """Return the documents whose words are nearest to each text's own."""
    scores = teacher.embed(texts) @ teacher.embed([document.text for document in documents]).T
    return [
        [Found(documents[row], float(of_text[row])) for row in np.argsort(-of_text)[:HITS]]
        for of_text in scores
    ]
