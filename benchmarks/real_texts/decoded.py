"""Whether a decoded embedding is on the topic of the answer that the LLM writes.

A third encoder judges: one that is neither the model nor its teacher. A decoded text is on topic if
it is nearer to the answer to its own query than to the answers to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_texts.ranking import Scores, cosines
from benchmarks.real_texts.readers import Readers
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag.teachers.protocol import Teacher

COMPARED = 30  # queries of each set, the first by id
EXAMPLES = 10  # of those, the first
DIGITS = 4


def measure_decoded(
    readers: Readers, sets: Sequence[RetrievalSet], third: Teacher, written: int
) -> dict[str, Any]:
    """Return the third encoder's cosines of each set, and examples.

    Args:
        readers: the model.
        sets: whose queries are asked.
        third: the encoder that judges.
        written: how many of a set's queries the LLM answers in one call, at least `COMPARED`.
    """
    return {
        "encoder": Path(third.name).name,
        "sets": {asked.name: _of_set(readers, asked, third, written) for asked in sets},
    }


def own_and_another(pairs: Scores) -> tuple[Scores, Scores]:
    """Return the cosine of each decoded text to its own answer, and the mean to all others.

    Args:
        pairs: (decoded, answers), in the same order.

    Raises:
        ValueError: if there is only one answer.
    """
    count = len(pairs)
    if count < 2:
        raise ValueError(
            f"there is {count} decoded text; expected at least two of a set, as each is compared "
            "with the answers to other queries. Raise --queries."
        )
    own = np.diag(pairs)
    return own, (pairs.sum(axis=1) - own) / (count - 1)


def _of_set(readers: Readers, asked: RetrievalSet, third: Teacher, written: int) -> dict[str, Any]:
    few = asked.first_queries(COMPARED)
    answers = readers.answers(asked.name, asked.first_queries(written).queries)["texts"][:COMPARED]
    decoded = readers.decoded(asked.name, few.queries)
    of_answers = third.embed(answers)
    own, another = own_and_another(cosines(third.embed(decoded), of_answers))
    examples = zip(few.query_ids, few.queries, decoded, answers, strict=True)
    return {
        "own_answer": np.round(own, DIGITS).tolist(),
        "another_answer": np.round(another, DIGITS).tolist(),
        # how near a text that is on topic comes
        "query_and_answer": np.round(
            np.diag(cosines(third.embed(few.queries), of_answers)), DIGITS
        ).tolist(),
        "examples": [
            {"id": name, "query": query, "decoded": said, "answer": answer}
            for name, query, said, answer in list(examples)[:EXAMPLES]
        ],
    }
