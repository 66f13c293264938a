"""What the bundled model comes to by domain, and on words that it never saw."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.almanac import Question
from llm2vec_gen_rag.evaluation.almanac import evaluate
from llm2vec_gen_rag.evaluation.beir_folder import FolderTask, evaluate_folder
from llm2vec_gen_rag.evaluation.provenance import checkout_commit
from llm2vec_gen_rag.evaluation.refusals import PromptSet, evaluate_refusals

logger = logging.getLogger(__name__)
SEED = 42
PROMPT_FILES = ("pairs.jsonl", "prompts.jsonl")

Figures = dict[str, Any]


def measure_bundled(file: Path, data: Path | None) -> None:
    """Add to a file what it lacks: every domain, and every set in a folder of data.

    Args:
        file: JSON; each figure is written as it is there, with the commit that measured it.
        data: a folder of folders, prompts as `eval refusals` reads them and retrieval sets in the
            BEIR layout; None leaves those in the file as they are.
    """
    figures: Figures = {"domains": {}, "refusals": {}, "folders": {}}
    if file.is_file():
        figures = json.loads(file.read_text(encoding="utf-8"))
    model = LLM2VecGen.from_pretrained("almanac")
    for part, name, measured in [*_domains(model), *(_sets(model, data) if data else [])]:
        if name in figures[part]:
            continue
        logger.info("%s: %s", part, name)
        commit = checkout_commit()
        figures[part][name] = {"commit": commit, "seed": SEED, **measured()}
        file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


Measurement = tuple[str, str, Callable[[], Figures]]


def _domains(model: LLM2VecGen) -> list[Measurement]:
    """The questions over two or three facts, by the domain that they are about."""
    by_domain: dict[str, list[Question]] = {}
    for question in almanac.held_out_questions():
        if question.kind == "bridged":
            by_domain.setdefault(question.domain, []).append(question)

    def measured(questions: list[Question]) -> Callable[[], Figures]:
        return lambda: asdict(evaluate(model, questions=questions).reasoning)

    return [("domains", name, measured(questions)) for name, questions in by_domain.items()]


def _sets(model: LLM2VecGen, data: Path) -> list[Measurement]:
    """The sets of prompts and of documents in a folder."""

    def refusals(folder: Path) -> Callable[[], Figures]:
        return lambda: asdict(evaluate_refusals(model, PromptSet.from_folder(folder), seed=SEED))

    def retrieval(folder: Path) -> Callable[[], Figures]:
        return lambda: asdict(evaluate_folder(model, FolderTask(folder)))

    found: list[Measurement] = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        if any((folder / name).is_file() for name in PROMPT_FILES):
            found.append(("refusals", folder.name, refusals(folder)))
        if (folder / "corpus.jsonl").is_file():
            found.append(("folders", folder.name, retrieval(folder)))
    return found
