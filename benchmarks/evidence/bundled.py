"""What the bundled model scores by domain and on public data, and BM25 on the same questions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.almanac import Question
from llm2vec_gen_rag.evaluation.almanac import STUBS, evaluate, group_name
from llm2vec_gen_rag.evaluation.beir_folder import FolderTask, evaluate_folder
from llm2vec_gen_rag.evaluation.metrics import ndcg, success
from llm2vec_gen_rag.evaluation.provenance import checkout_commit
from llm2vec_gen_rag.evaluation.refusals import PromptSet, evaluate_refusals

logger = logging.getLogger(__name__)
SEED = 42
PROMPT_FILES = ("pairs.jsonl", "prompts.jsonl")

Figures = dict[str, Any]
Measurement = tuple[str, str, Callable[[], Figures]]


def measure_bundled(file: Path, data: Path | None) -> None:
    """Add to a JSON file what it lacks, as soon as it is measured: domains, and sets of a folder.

    The folder of data holds folders: prompts as `eval refusals` reads them, and retrieval sets in
    the BEIR layout. None leaves those in the file as they are.
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


def _domains(model: LLM2VecGen) -> list[Measurement]:
    """Return the measurement of the bridged questions of each domain."""
    by_domain: dict[str, list[Question]] = {}
    for question in almanac.held_out_questions():
        if question.kind == "bridged":
            by_domain.setdefault(question.domain, []).append(question)
    return [("domains", name, partial(_bridged, model, asked)) for name, asked in by_domain.items()]


def _sets(model: LLM2VecGen, data: Path) -> list[Measurement]:
    """Return the measurement of each set of prompts or documents in a folder."""
    found: list[Measurement] = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        if any((folder / name).is_file() for name in PROMPT_FILES):
            found.append(("refusals", folder.name, partial(_refusals, model, folder)))
        if (folder / "corpus.jsonl").is_file():
            found.append(("folders", folder.name, partial(_retrieval, model, folder)))
    return found


def _bridged(model: LLM2VecGen, questions: list[Question]) -> Figures:
    return asdict(evaluate(model, questions=questions).reasoning)


def _refusals(model: LLM2VecGen, folder: Path) -> Figures:
    return asdict(evaluate_refusals(model, PromptSet.from_folder(folder), seed=SEED))


def _retrieval(model: LLM2VecGen, folder: Path) -> Figures:
    return asdict(evaluate_folder(model, FolderTask(folder)))


@dataclass(frozen=True)
class WordScores:
    """What BM25 scores on one group; the fields are those of `evaluation.almanac.Scores`."""

    ndcg: float
    top5: float
    stub_top5: float


def bm25_scores() -> dict[str, WordScores]:
    """Return what BM25 scores on the held-out questions, by group, "bridged, all" among them."""
    documents = almanac.documents()
    row = {document.id: number for number, document in enumerate(documents)}
    stubs = np.array([document.domain in STUBS for document in documents])
    index = bm25s.BM25()
    index.index(
        bm25s.tokenize([d.text for d in documents], show_progress=False), show_progress=False
    )
    groups: dict[str, list[tuple[int, bool]]] = {}
    for question in almanac.held_out_questions():
        words = bm25s.tokenize([question.text], return_ids=False, show_progress=False)[0]
        scores = np.asarray(index.get_scores(words))
        rank = int((scores >= scores[row[question.document_id]]).sum())
        harmful = bool(stubs[np.argsort(-scores, kind="stable")[:5]].any())
        groups.setdefault(group_name(question), []).append((rank, harmful))
        if question.kind == "bridged":
            groups.setdefault("bridged, all", []).append((rank, harmful))
    return {name: _word_scores(found) for name, found in groups.items()}


def _word_scores(found: list[tuple[int, bool]]) -> WordScores:
    ranks = np.array([rank for rank, _ in found])
    return WordScores(
        ndcg(ranks), success(ranks, 5), float(np.mean([harmful for _, harmful in found]))
    )
