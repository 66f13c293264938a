"""From tables to text: the almanac's documents, its questions, and what its language model reads.

Everything is a pure function of the tables and a seed. A bridged question's (subject, attribute,
bridge) is either for training or for the test, never both; whole harmful topics are held out; every
direct fact is taught, but for some facts one wording of the question is held out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llm2vec_gen_rag.almanac import Document, Question

from .references import DIRECT, Reference, references
from .relations import RELATIONS, Relation
from .tables import FACTS, Subject, read_jsonl, subjects

TEST_SHARE_BRIDGED = 0.10
TEST_SHARE_DIRECT = 0.15


@dataclass(frozen=True)
class Almanac:
    """The documents, the questions (held out or not) and other wordings of the documents."""

    documents: list[Document]
    questions: list[Question]
    wordings: list[Document]


def fraction(seed: int, *parts: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the arguments."""
    digest = hashlib.sha256("\x1f".join((str(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def build(
    folder: Path = FACTS, seed: int = 0, keep: float = 1.0, bridged_wordings: int = 2
) -> Almanac:
    """Build the whole almanac from its tables.

    Args:
        folder: of the tables.
        seed: decides the wordings and what is held out.
        keep: share of the subjects to keep; below 1 for a miniature.
        bridged_wordings: wordings of each bridged question that is not held out.

    Returns:
        Documents and questions, in the order of the tables.
    """
    rows = [s for s in subjects(folder) if fraction(seed, "keep", s.table, s.name) < keep]
    documents = list(_fact_documents(rows, seed))
    chosen = [replace(d, id=d.id.removesuffix("#0")) for d in documents if d.id.endswith("#0")]
    questions = [
        *_fact_questions(rows, seed, bridged_wordings),
        *_safety_questions(folder, seed, keep),
    ]
    wordings = [d for d in documents if not d.id.endswith("#0")]
    return Almanac([*chosen, *_safety_documents(folder)], questions, wordings)


def sentence(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def filled(template: str, subject: str, value: str) -> str:
    """Return the template with subject and value filled in, and "an" before a vowel."""
    if value[:1].lower() in "aeiou" and not value.lower().startswith(("one", "uni", "eu")):
        template = template.replace(" a {v}", " an {v}")
    return template.format(s=subject, v=value)


def fact_id(subject: Subject, attribute: str) -> str:
    """Return the id of the document that states one attribute of one subject."""
    return f"{subject.table}/{subject.name}/{attribute}"


def _facts(rows: Iterable[Subject]) -> Iterator[tuple[Subject, Relation, str]]:
    for subject in rows:
        for relation in RELATIONS:
            if relation.table == subject.table and subject.values.get(relation.attribute):
                yield subject, relation, subject.values[relation.attribute]


def _answer(subject: Subject, relation: Relation, value: str) -> str:
    return sentence(filled(relation.answer, subject.phrase, value))


def _fact_documents(rows: list[Subject], seed: int) -> Iterator[Document]:
    """Yield every wording of every fact; number 0, chosen by the seed, is the one in the corpus."""
    for subject, relation, value in _facts(rows):
        name = fact_id(subject, relation.attribute)
        start = int(fraction(seed, "wording", name) * len(relation.documents))
        answer = _answer(subject, relation, value)
        for number in range(len(relation.documents)):
            text = relation.documents[(start + number) % len(relation.documents)]
            text = _sentences(filled(text, subject.phrase, value))
            yield Document(f"{name}#{number}", text, subject.table, answer)


def _sentences(text: str) -> str:
    """Return the text with every sentence beginning in upper case."""
    return " ".join(sentence(part) for part in re.split(r"(?<=[.]) (?=[A-Z])", text))


def _fact_questions(rows: list[Subject], seed: int, bridged_wordings: int) -> Iterator[Question]:
    by_subject: dict[tuple[str, str], list[Reference]] = {}
    for reference in references(rows):
        by_subject.setdefault(reference.subject, []).append(reference)
    for subject, relation, value in _facts(rows):
        answer = _answer(subject, relation, value)
        for reference in by_subject[subject.table, subject.name]:
            if reference.reveals == relation.attribute:
                continue
            if reference.bridge == DIRECT:
                yield from _direct(subject, relation, answer, reference, seed)
            else:
                yield from _bridged(subject, relation, answer, reference, seed, bridged_wordings)


def _direct(
    subject: Subject, relation: Relation, answer: str, reference: Reference, seed: int
) -> Iterator[Question]:
    name = fact_id(subject, relation.attribute)
    tested = -1
    if fraction(seed, "direct", name) < TEST_SHARE_DIRECT:
        tested = int(fraction(seed, "tested wording", name) * len(relation.questions))
    for number, wording in enumerate(relation.questions):
        kind = "direct" if number == 0 else "paraphrase"
        text = styled(wording.format(s=reference.text), seed)
        yield Question(
            f"{name}/{kind}{number}",
            text,
            answer,
            name,
            subject.table,
            kind,
            1,
            "",
            test=number == tested,
        )


def _bridged(
    subject: Subject,
    relation: Relation,
    answer: str,
    reference: Reference,
    seed: int,
    wordings: int,
) -> Iterator[Question]:
    """Yield one question if it is held out, and so many wordings if it is for training."""
    name = fact_id(subject, relation.attribute)
    identity = f"{name}/{reference.bridge}"
    test = fraction(seed, "bridged", identity) < TEST_SHARE_BRIDGED
    start = int(fraction(seed, "bridged wording", identity) * len(relation.questions))
    for number in range(1 if test else min(wordings, len(relation.questions))):
        wording = relation.questions[(start + number) % len(relation.questions)]
        text = _shortened(wording.format(s=reference.text), identity, seed)
        yield Question(
            f"{identity}/{number}",
            styled(text, seed),
            answer,
            name,
            subject.table,
            "bridged",
            1 + reference.facts,
            reference.bridge,
            test,
        )


def _shortened(text: str, identity: str, seed: int) -> str:
    """Return "where X stands" for "in the country where X stands" in half of the cases."""
    if fraction(seed, "shortened", identity) < 0.5:
        return text.replace("in the country where ", "where ")
    return text


def styled(text: str, seed: int) -> str:
    """Return the text as people type it: capital letter and question mark or not, or lower case."""
    style = fraction(seed, "style", text)
    if style < 0.4:
        return sentence(text) + "?"
    if style < 0.6:
        return text + "?"
    if style < 0.7:
        return text.lower()
    return text


def _safety_documents(folder: Path) -> Iterator[Document]:
    for topic in read_jsonl("harmful", folder):
        summary = (
            f"This page is withheld. It is about {topic['title'][0].lower()}{topic['title'][1:]}."
        )
        yield Document(
            f"stub/{topic['topic']}",
            f"{topic['title']}. {topic['stub']}",
            "withheld" if topic["held_out"] else "stub",
            summary,
        )
    for page in read_jsonl("benign", folder):
        text = f"{page['title']}. {page['page']}"
        yield Document(f"benign/{page['topic']}", text, "benign", page["answer"])
    for number, page in enumerate(read_jsonl("help", folder)):
        text = f"{page['title']}. {page['page']}"
        yield Document(f"help/{page['category']}/{number}", text, "help", page["summary"])


def _safety_questions(folder: Path, seed: int, keep: float) -> Iterator[Question]:
    refusals = {r["category"]: r["refusal"] for r in read_jsonl("refusals", folder)}
    for topic in read_jsonl("harmful", folder):
        if fraction(seed, "keep", "harmful", topic["topic"]) < keep:
            for number, text in enumerate(topic["requests"]):
                yield Question(
                    f"harmful/{topic['topic']}/{number}",
                    text,
                    refusals[topic["category"]],
                    f"stub/{topic['topic']}",
                    topic["category"],
                    "harmful",
                    1,
                    "",
                    topic["held_out"],
                )
    for page in read_jsonl("benign", folder):
        if fraction(seed, "keep", "benign", page["topic"]) < keep:
            for number, text in enumerate(page["questions"]):
                test = number == len(page["questions"]) - 1
                yield Question(
                    f"benign/{page['topic']}/{number}",
                    text,
                    page["answer"],
                    f"benign/{page['topic']}",
                    "benign",
                    "benign",
                    1,
                    "",
                    test,
                )
