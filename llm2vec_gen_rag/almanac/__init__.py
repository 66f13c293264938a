"""The almanac: the bundled small model, its corpus, its held-out questions and its teacher.

The model itself is loaded with `LLM2VecGen.from_pretrained("almanac")`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import read_json_lines, write_text

FOLDER = Path(__file__).parent
MODEL_FOLDER = FOLDER / "model"
TEACHER_FOLDER = FOLDER / "teacher"
DOCUMENTS_FILE = "corpus.jsonl"
QUESTIONS_FILE = "questions.jsonl"


@dataclass(frozen=True)
class Document:
    """One document of the corpus.

    Attributes:
        id: table/subject/attribute for a fact, "stub/...", "benign/..." or "help/..." otherwise.
        domain: the table, or "stub", "withheld" (a stub of a held-out topic), "benign" or "help".
        summary: the summary that the language model was trained to write.
    """

    id: str
    text: str
    domain: str
    summary: str


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        answer: the answer that the language model was trained to write to questions like it.
        document_id: the document that answers it; for a harmful request, its own stub.
        domain: the table of the fact asked for, or the category of harm, or "benign".
        kind: "direct", "paraphrase", "bridged", "harmful" or "benign".
        facts: how many facts the answer needs.
        bridge: the fact that links a bridged question to its subject: "landmark:Eiffel Tower".
        test: whether it was held out of all training.
    """

    id: str
    text: str
    answer: str
    document_id: str
    domain: str
    kind: str
    facts: int
    bridge: str
    test: bool


@cache
def documents(folder: Path = FOLDER) -> tuple[Document, ...]:
    """Return the documents of the corpus."""
    return tuple(Document(**row) for row in _rows(folder / DOCUMENTS_FILE))


@cache
def held_out_questions(folder: Path = FOLDER) -> tuple[Question, ...]:
    """Return the questions that no part of the model was trained on."""
    return tuple(Question(**row) for row in _rows(folder / QUESTIONS_FILE))


def write(rows: list[Document] | list[Question], path: Path) -> None:
    """Write documents or questions as JSON Lines."""
    lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    write_text(path, "".join(lines))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_json_lines(path)]
