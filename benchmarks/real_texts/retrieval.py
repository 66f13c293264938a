"""The nDCG@10 of each query of each set, by each way to find documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.real_texts.frozen_states import centred, whitened
from benchmarks.real_texts.fusion import (
    leave_one_set_out,
    reciprocal_rank_fusion,
    weighted,
)
from benchmarks.real_texts.ranking import Scores, bm25_scores, cosines, ndcg_of_queries
from benchmarks.real_texts.readers import Readers
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag.evaluation.hybrid import WEIGHTS
from llm2vec_gen_rag.evaluation.word_scores import WordScores, word_scores
from llm2vec_gen_rag.qdrant.hybrid.fusion import WEIGHT

logger = logging.getLogger(__name__)
DIGITS = 4  # of the nDCG of a query, in the file

ByWay = dict[str, Scores]


@dataclass(frozen=True)
class Ranked:
    """One set, ranked in every way that needs no other set.

    Attributes:
        asked: the set.
        scores: (queries, documents) by way.
        words: the BM25 of `hybrid_search`; that in `scores` is the baseline's.
    """

    asked: RetrievalSet
    scores: ByWay
    words: WordScores

    @property
    def by_weight(self) -> list[float]:
        """The mean nDCG@10 of the weighted hybrid with each of `WEIGHTS`."""
        return [float(self.hybrid(weight).mean()) for weight in WEIGHTS]

    def hybrid(self, weight: float) -> Scores:
        """Return the nDCG@10 of each query of the weighted hybrid."""
        return ndcg_of_queries(weighted(self.scores["ours"], self.words, weight), self.asked)


def measure_retrieval(
    readers: Readers, sets: Sequence[RetrievalSet], others: Sequence[str]
) -> dict[str, Any]:
    """Return the sizes of each set and the nDCG@10 of its queries by way.

    Args:
        readers: the model and its teacher.
        sets: at least two.
        others: texts beside a set's own on which the whitening is fitted.
    """
    ranked = {asked.name: rank(readers, asked, others) for asked in sets}
    weights = leave_one_set_out({name: each.by_weight for name, each in ranked.items()})
    return {name: _with_fitted_weight(each, weights[name]) for name, each in ranked.items()}


def measure_unseen(
    readers: Readers,
    sets: Sequence[RetrievalSet],
    first: Sequence[RetrievalSet],
    others: Sequence[str],
) -> dict[str, Any]:
    """Return the same of queries on which nothing was chosen; no weight is fitted on them.

    Args:
        readers: the model and its teacher.
        sets: around the other queries.
        first: the cuts on which something was chosen, in the same order.
        others: see `measure_retrieval`.
    """
    return {
        asked.name: {
            **_figures(rank(readers, asked, others)),
            "relevant_documents": len(asked.relevant_ids),
            "relevant_in_the_first_cut": len(asked.relevant_ids & before.relevant_ids),
        }
        for asked, before in zip(sets, first, strict=True)
    }


def rank(readers: Readers, asked: RetrievalSet, others: Sequence[str]) -> Ranked:
    """Return a set's scores by way."""
    logger.info("%s: %d, %d", asked.name, len(asked.documents), len(asked.queries))
    ours = cosines(
        readers.queries(f"{asked.name}.queries", asked.queries),
        readers.documents(f"{asked.name}.documents", asked.documents),
    )
    taught = cosines(
        readers.taught(f"{asked.name}.queries", asked.queries),
        readers.taught(f"{asked.name}.documents", asked.documents),
    )
    words = word_scores(asked.queries, asked.documents)
    return Ranked(
        asked,
        {
            "bm25": bm25_scores(asked.queries, asked.documents),
            **_of_frozen_states(readers, asked, others),
            "teacher": taught,
            "ours": ours,
            "hybrid_rrf": reciprocal_rank_fusion(ours, words.bm25),
            "hybrid_default": weighted(ours, words, WEIGHT),
        },
        words,
    )


def measure_written(readers: Readers, asked: RetrievalSet, count: int) -> dict[str, Any]:
    """Return the figures of a set's first queries with the teacher on the LLM's answers (HyDE)."""
    few = asked.first_queries(count)
    answers = readers.answers(asked.name, few.queries)
    scores = cosines(
        readers.taught(f"{asked.name}.answers", answers["texts"]),
        readers.taught(f"{asked.name}.documents", asked.documents),
    )
    return {
        "queries": len(few.queries),
        "seconds_per_query_side_by_side": round(answers["seconds"] / len(few.queries), 3),
        "ndcg": _rounded(ndcg_of_queries(scores, few)),
    }


def _of_frozen_states(readers: Readers, asked: RetrievalSet, others: Sequence[str]) -> ByWay:
    """Return the scores of the frozen LLM's mean states."""
    queries = readers.states(f"{asked.name}.queries", asked.queries)
    documents = readers.states(f"{asked.name}.documents", asked.documents)
    added = readers.states("others", others) if others else None
    found = {"states_centred": cosines(*centred(queries["last"], documents["last"]))}
    for layer in ("middle", "last"):
        more = added[layer] if added else queries[layer][:0]
        pair = whitened(queries[layer], documents[layer], more)
        found[f"states_whitened_{layer}"] = cosines(*pair)
    return found


def _with_fitted_weight(ranked: Ranked, weight: float) -> dict[str, Any]:
    """Return the figures, those of the hybrid with a weight fitted on other sets among them."""
    figures = _figures(ranked)
    figures["ndcg"]["hybrid_weighted"] = _rounded(ranked.hybrid(weight))
    by_weight = np.round(ranked.by_weight, DIGITS).tolist()
    return {
        "hybrid_weight": weight,
        "hybrid_by_weight": dict(zip(map(str, WEIGHTS), by_weight, strict=True)),
        **figures,
    }


def _figures(ranked: Ranked) -> dict[str, Any]:
    asked = ranked.asked
    return {
        "documents": len(asked.documents),
        "queries": len(asked.queries),
        "query_ids": asked.query_ids,
        "ndcg": {
            way: _rounded(ndcg_of_queries(scores, asked)) for way, scores in ranked.scores.items()
        },
    }


def _rounded(ndcg: Scores) -> list[float]:
    rounded: list[float] = np.round(ndcg, DIGITS).tolist()
    return rounded
