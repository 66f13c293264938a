"""Whether a decoded embedding is on the topic of the answer that the LLM writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.real_texts.readers import Readers
from benchmarks.real_texts.retrieval_sets import RetrievalSet

EXAMPLES = 10  # of each set, the first by id


def measure_decoded(readers: Readers, sets: Sequence[RetrievalSet], written: int) -> dict[str, Any]:
    """Return examples of each set with the cosine of the decoded text and the written answer.

    The cosine is of TF-IDF vectors, in which neither the model nor its teacher has a part.

    Args:
        readers: the model.
        sets: whose queries are asked.
        written: how many of a set's queries the LLM answers in one call, at least `EXAMPLES`.
    """
    examples = {asked.name: _examples(readers, asked, written) for asked in sets}
    every = [row for rows in examples.values() for row in rows]
    pairs = topic_cosines([row["decoded"] for row in every], [row["answer"] for row in every])
    figures, start = {}, 0
    for name, rows in examples.items():
        block = pairs[start : start + len(rows), start : start + len(rows)]
        start += len(rows)
        for row, own in zip(rows, np.diag(block), strict=True):
            row["cosine"] = round(float(own), 3)
        figures[name] = {**_paired_and_shuffled(block), "examples": rows}
    return figures


def topic_cosines(decoded: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Return the TF-IDF cosine of each decoded text to each answer, (decoded, answers)."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    vectorizer.fit([*decoded, *answers])
    product = vectorizer.transform(decoded) @ vectorizer.transform(answers).T
    return np.asarray(product.toarray())


def _paired_and_shuffled(block: np.ndarray) -> dict[str, float | None]:
    """Return the mean cosine of the pairs, and of all pairings with another query's answer."""
    count = len(block)
    others = (block.sum() - np.trace(block)) / (count * (count - 1)) if count > 1 else None
    return {
        "own_answer": float(np.trace(block) / count),
        "another_answer": None if others is None else float(others),
    }


def _examples(readers: Readers, asked: RetrievalSet, written: int) -> list[dict[str, Any]]:
    queries = asked.queries[:EXAMPLES]
    answers = readers.answers(asked.name, asked.queries[:written])["texts"][:EXAMPLES]
    decoded = readers.decoded(asked.name, queries)
    ids = asked.query_ids[:EXAMPLES]
    return [
        {"id": name, "query": query, "decoded": said, "answer": answer}
        for name, query, said, answer in zip(ids, queries, decoded, answers, strict=True)
    ]
