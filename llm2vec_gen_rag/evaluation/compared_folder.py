"""A local retrieval set, by a model and by what a user could take instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.evaluation.beir_folder import FolderTask
from llm2vec_gen_rag.evaluation.folder_texts import FolderTexts
from llm2vec_gen_rag.evaluation.hybrid import (
    Figure,
    figure_of,
    hybrid_ndcg,
    ndcg_by,
)
from llm2vec_gen_rag.evaluation.word_scores import word_scores
from llm2vec_gen_rag.model import LLM2VecGen, require_model
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT
from llm2vec_gen_rag.teachers.protocol import Teacher
from llm2vec_gen_rag.teachers.whitened_states import Whitening, unwhitened_states
from llm2vec_gen_rag.vectors.similarity import cosines

DIRECTIONS = 256


@dataclass(frozen=True)
class ComparedFolder:
    """The nDCG@10 of one set, way by way.

    Attributes:
        folder: its name.
        documents: the number of documents.
        queries: the number of queries with a relevant document.
        figures: by way.
    """

    folder: str
    documents: int
    queries: int
    figures: dict[str, Figure]


def compare_folder(
    model: LLM2VecGen,
    task: FolderTask,
    *,
    encoder: Teacher | None = None,
    instruction: str | None = None,
    max_length: int = 512,
    show_progress: bool = False,
) -> ComparedFolder:
    """Measure a model on a local retrieval set, beside words and the frozen LLM's own states.

    The states are means over a text's tokens but the first, read up to 512 tokens. They are
    centred, or whitened along at most 256 directions: both are fitted on the set's own texts.

    Args:
        model: the model.
        task: the set.
        encoder: another encoder, to stand beside it; None: none.
        instruction: put before every query; None takes the model's own for retrieval.
        max_length: see `LLM2VecGen.encode`.
        show_progress: whether to show progress bars.

    Returns:
        The figures of BM25, the states, the encoder, the embedding, and hybrid search by it.

    Raises:
        ValueError: if it is no loaded model.
    """
    require_model(model)
    texts = FolderTexts.of(task)
    words = word_scores(texts.queries, texts.documents)
    embedding = texts.cosines(
        model, instruction=instruction, max_length=max_length, show_progress=show_progress
    )
    rows = list(zip(embedding, words.bm25, words.shares, texts.relevant, strict=True))
    ways = {
        "BM25": [ndcg_by(found, right, ranked=found > 0) for _, found, _, right in rows],
        **_of_states(model, texts),
    }
    if encoder is not None:
        scores = cosines(encoder.embed(texts.queries), encoder.embed(texts.documents))
        ways[encoder.name.rstrip("/").rsplit("/", 1)[-1]] = _ndcg(scores, texts)
    ways["embedding"] = _ndcg(embedding, texts)
    ways["embedding and words (hybrid)"] = [hybrid_ndcg(*row, WEIGHT) for row in rows]
    figures = {way: figure_of(np.array(ndcg)) for way, ndcg in ways.items()}
    return ComparedFolder(texts.name, len(texts.documents), len(texts.queries), figures)


def compared_table(compared: Sequence[ComparedFolder]) -> str:
    """Return the figures as a Markdown table, way by way, and the means of several sets."""
    names = [each.folder for each in compared]
    several = len(compared) > 1
    lines = [
        f"| nDCG@10 (95 % interval) | {' | '.join([*names, *(['mean'] if several else [])])} |",
        "|---" * (1 + len(names) + several) + "|",
    ]
    for way in compared[0].figures:
        figures = [each.figures[way] for each in compared]
        cells = [str(figure) for figure in figures]
        if several:
            cells.append(f"{np.mean([figure.mean for figure in figures]):.3f}")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of_states(model: LLM2VecGen, texts: FolderTexts) -> dict[str, list[float]]:
    """Return the nDCG@10 of each query by the frozen LLM's mean states."""
    asked, found = (
        unwhitened_states(model.backbone, model.tokenizer, each)
        for each in (texts.queries, texts.documents)
    )
    every = np.concatenate([asked, found])
    mean = every.mean(axis=0)
    distinct = np.unique(every, axis=0)
    whitening = Whitening.fit(distinct, min(DIRECTIONS, len(distinct) - 1, every.shape[1]))
    return {
        "the LLM's states, centred": _ndcg(cosines(asked - mean, found - mean), texts),
        "the LLM's states, whitened": _ndcg(cosines(whitening(asked), whitening(found)), texts),
    }


def _ndcg(scores: npt.NDArray[np.floating[Any]], texts: FolderTexts) -> list[float]:
    rows = zip(scores.astype(np.float64), texts.relevant, strict=True)
    return [ndcg_by(row, right) for row, right in rows]
