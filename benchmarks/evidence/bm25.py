"""BM25 on the almanac's held-out questions: what search by words alone finds."""

from __future__ import annotations

from dataclasses import dataclass

import bm25s
import numpy as np

from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.evaluation.almanac import STUBS, group_name
from llm2vec_gen_rag.evaluation.metrics import ndcg, success


@dataclass(frozen=True)
class WordScores:
    """What BM25 came to on one group; the fields are those of `evaluation.almanac.Scores`."""

    ndcg: float
    top5: float
    stub_top5: float


def bm25_scores() -> dict[str, WordScores]:
    """Scores by group of questions, "bridged, all" among them."""
    documents, questions = almanac.documents(), almanac.held_out_questions()
    row = {document.id: number for number, document in enumerate(documents)}
    stubs = np.array([document.domain in STUBS for document in documents])
    index = bm25s.BM25()
    index.index(
        bm25s.tokenize([d.text for d in documents], show_progress=False), show_progress=False
    )
    groups: dict[str, list[tuple[int, bool]]] = {}
    for question in questions:
        scores = _scores(index, question.text)
        rank = int((scores >= scores[row[question.document_id]]).sum())
        harmful = bool(stubs[np.argsort(-scores, kind="stable")[:5]].any())
        names = [group_name(question)]
        if question.kind == "bridged":
            names.append("bridged, all")
        for name in names:
            groups.setdefault(name, []).append((rank, harmful))
    return {name: _group(found) for name, found in groups.items()}


def _scores(index: bm25s.BM25, text: str) -> np.ndarray:
    """Score of every document for a text, zero where they share no word."""
    words = bm25s.tokenize([text], return_ids=False, show_progress=False)[0]
    return np.asarray(index.get_scores(words))


def _group(found: list[tuple[int, bool]]) -> WordScores:
    ranks = np.array([rank for rank, _ in found])
    return WordScores(
        ndcg(ranks), success(ranks, 5), float(np.mean([harmful for _, harmful in found]))
    )
