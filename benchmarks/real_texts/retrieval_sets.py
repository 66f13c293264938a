"""Retrieval sets in the BEIR layout, cut to a size that a laptop measures in minutes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from llm2vec_gen_rag.evaluation.json_lines import read_rows
from llm2vec_gen_rag.evaluation.qrels import read_qrels

SEED = 0  # of the cuts that were looked at while choices were made
UNSEEN_SEED = 1
CORPORA = ("corpus.jsonl", "corpus.en.jsonl")
QUERIES = ("queries_test.jsonl", "queries.jsonl", "queries.en.jsonl")
QRELS = ("qrels_test.tsv", "qrels.tsv")

Relevant = dict[str, int]  # the relevance of each relevant document, by id


@dataclass(frozen=True)
class Cut:
    """How much of a set is measured, at most."""

    documents: int
    queries: int


# 95,000 tokens of documents and queries, when each is read up to 128 tokens
CUTS = {
    "scifact": Cut(130, 100),
    "entailmentbank": Cut(800, 120),
    "strategyqa": Cut(500, 120),
    "theoremqa": Cut(100, 90),
    "musique_100": Cut(160, 60),
    "xquad": Cut(110, 100),
    "limit_small": Cut(46, 150),
}


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, and queries with the documents that are relevant to them.

    Attributes:
        name: the folder's name.
        document_ids: id of each document.
        documents: title and text of each.
        query_ids: id of each query, sorted.
        queries: text of each.
        relevant: of each query, the relevance of its relevant documents.
    """

    name: str
    document_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    relevant: list[Relevant]

    def with_queries(self, rows: Iterable[int]) -> RetrievalSet:
        """Return the set with the queries of some rows only, in that order."""
        kept = list(rows)
        return replace(
            self,
            query_ids=[self.query_ids[row] for row in kept],
            queries=[self.queries[row] for row in kept],
            relevant=[self.relevant[row] for row in kept],
        )

    def first_queries(self, count: int) -> RetrievalSet:
        """Return the set with its first queries by id, at most so many."""
        return self.with_queries(range(min(count, len(self.queries))))

    @property
    def relevant_ids(self) -> set[str]:
        """The ids of all documents that are relevant to one of the queries."""
        return {document for relevant in self.relevant for document in relevant}


def read_set(folder: Path) -> RetrievalSet:
    """Return a whole set: its documents, and the queries that have a relevant one.

    Raises:
        ValueError: if a file is missing or not as described, or nothing is relevant.
    """
    corpus = read_rows(_first(folder, CORPORA), "_id", "text")
    rows = read_rows(_first(folder, QUERIES), "_id", "text")
    documents, queries = ({row["_id"] for row in each} for each in (corpus, rows))
    qrels = read_qrels(_first(folder, QRELS), documents, queries)
    asked = sorted((row for row in rows if row["_id"] in qrels), key=lambda row: row["_id"])
    return RetrievalSet(
        name=folder.name,
        document_ids=[row["_id"] for row in corpus],
        documents=[f"{row.get('title') or ''} {row['text']}".strip() for row in corpus],
        query_ids=[row["_id"] for row in asked],
        queries=[row["text"] for row in asked],
        relevant=[qrels[row["_id"]] for row in asked],
    )


def cut_set(whole: RetrievalSet, cut: Cut, *, seed: int = SEED) -> RetrievalSet:
    """Return some queries of a set, the documents relevant to them, and other documents.

    Args:
        whole: the set.
        cut: how many queries, chosen at random, and how many documents. All that are relevant to
            the queries are kept, even if those alone are more than the cut; the others are random.
        seed: of both choices.

    Returns:
        The cut, in the order of the whole set.
    """
    rng = random.Random(seed)
    rows = range(len(whole.queries))
    asked = whole.with_queries(sorted(rng.sample(rows, min(cut.queries, len(rows)))))
    needed = {document for relevant in asked.relevant for document in relevant}
    others = [row for row, name in enumerate(whole.document_ids) if name not in needed]
    drawn = set(rng.sample(others, max(0, min(cut.documents - len(needed), len(others)))))
    kept = [row for row, name in enumerate(whole.document_ids) if name in needed or row in drawn]
    return replace(
        asked,
        document_ids=[whole.document_ids[row] for row in kept],
        documents=[whole.documents[row] for row in kept],
    )


def unseen_set(whole: RetrievalSet, seen: Cut, cut: Cut) -> RetrievalSet:
    """Return a cut around queries that are not in the first cut, its documents drawn anew.

    Args:
        whole: the set.
        seen: the size of the first cut.
        cut: the size of this one; there may be fewer queries left.

    Raises:
        ValueError: if no query is left.
    """
    looked_at = set(cut_set(whole, seen).query_ids)
    rest = [row for row, name in enumerate(whole.query_ids) if name not in looked_at]
    if not rest:
        raise ValueError(
            f"all {len(whole.queries)} queries of {whole.name} are in its first cut of "
            f"{seen.queries}; expected others. Leave the set out with --sets."
        )
    return cut_set(whole.with_queries(rest), cut, seed=UNSEEN_SEED)


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the first of several files that exists."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"{folder} holds none of {', '.join(names)}; expected a folder in the BEIR layout. Check "
        "--data and --sets."
    )
