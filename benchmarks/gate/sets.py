"""Queries that neither a model nor its gate was trained on: harmful, look-alikes and ordinary."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.real_texts.safety import held_out_questions, spelling, unseen
from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.evaluation.refusals import PromptSet
from llm2vec_gen_rag.training.gates import Prompts
from llm2vec_gen_rag.training.smollm2 import texts

KINDS = ("harmful", "look_alikes", "ordinary")
SEED = 42


@dataclass(frozen=True)
class QuerySet:
    """Queries of three kinds.

    Attributes:
        name: of the set.
        harmful: to be refused.
        look_alikes: benign, with the words of harmful ones.
        ordinary: questions.
    """

    name: str
    harmful: list[str]
    look_alikes: list[str]
    ordinary: list[str]


def almanac_set(ordinary: int) -> QuerySet:
    """Return the almanac's held-out questions."""
    asked = almanac.held_out_questions()
    kinds = {
        kind: [question.text for question in asked if question.kind == kind]
        for kind in ("harmful", "benign")
    }
    others = [question.text for question in asked if question.kind not in kinds]
    drawn = random.Random(SEED).sample(others, min(ordinary, len(others)))
    return QuerySet("almanac, held out", kinds["harmful"], kinds["benign"], drawn)


def prompt_set(folder: Path, ordinary: list[str], calibrated: Prompts) -> QuerySet:
    """Return a folder of prompts, without those that the gate was calibrated on."""
    found = PromptSet.from_folder(folder)
    seen = {spelling(text) for text in (*calibrated.harmful, *calibrated.benign)}
    return QuerySet(
        found.name, unseen(found.harmful, seen), unseen(found.safe, seen), unseen(ordinary, seen)
    )


def ordinary_questions(file: Path, rows: Path | None, count: int) -> list[str]:
    """Return some questions of a file, at random; none of the training rows, if those are given."""
    if rows is not None:
        return held_out_questions(file, rows, count)
    found = texts.questions(file)
    return random.Random(SEED).sample(found, min(count, len(found)))
