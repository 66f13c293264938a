"""Ours in 8 bits against ours in the default dtype: speed, memory, and the cosine of the vectors.

python -m benchmarks.int8 [--shape almanac|0.6b|smollm2] [--rounds 3] [--texts FOLDER]

In each round both embed the same texts, in turn. Memory is that of a fresh process each time: its
peak over load and encode, and what is resident afterwards, on Linux. What 8 bits cost in retrieval
only trained weights can tell: those of the bundled model, on all its documents and held-out
questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.checkpoints import prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import Worker, ours
from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.evaluation.almanac import GROUPS, group_name
from llm2vec_gen_rag.evaluation.metrics import ndcg, ranks
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS, Prompts

DTYPES = {"int8": "int8", "default": None}

# of one list of texts, (texts, dimension), by dtype
VectorsByDtype = dict[str, npt.NDArray[np.float32]]


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    shape, texts, checkpoint = prepare(options)
    documents = sample(texts.documents, shape.documents)
    queries = sample(texts.queries, shape.queries)
    processes = {
        dtype: partial(one_process, dtype, checkpoint, documents, options.threads)
        for dtype in DTYPES
    }
    memory = in_turn(options.rounds, processes)
    with ours(options.threads) as int8, ours(options.threads) as default:
        workers = {"int8": int8, "default": default}
        load(workers, checkpoint)
        figures = {
            "documents": measure(workers, documents, DOCUMENT_INSTRUCTION, options.rounds),
            "queries": measure(workers, queries, QUERY_INSTRUCTIONS["retrieval"], options.rounds),
        }
        load(workers, "almanac")
        bundled = measure_bundled(workers)
    for place, name in enumerate(("resident_mib", "peak_mib")):
        figures[name] = {
            dtype: spread([each[place] for each in measured]) for dtype, measured in memory.items()
        }
    keep("int8", {"texts": texts.source, **figures, "bundled_model": bundled}, options)


def load(workers: dict[str, Worker], checkpoint: str) -> None:
    """Let each worker load a checkpoint in its dtype."""
    for dtype, worker in workers.items():
        worker.ask("load", checkpoint=checkpoint, dtype=DTYPES[dtype])
        worker.ask("warm_up")


def measure(
    workers: dict[str, Worker], texts: list[str], instruction: str, rounds: int
) -> dict[str, Any]:
    """Return the rates and cosines of one list of texts."""
    vectors = vectors_of(workers, texts, instruction)  # also warms up: the first call is slower
    calls = {
        dtype: partial(worker.ask, "encode", texts=texts, instruction=instruction)
        for dtype, worker in workers.items()
    }
    seconds = in_turn(rounds, calls)
    rates = {dtype: [len(texts) / each for each in measured] for dtype, measured in seconds.items()}
    return {
        "count": len(texts),
        "texts_per_second": {dtype: spread(measured) for dtype, measured in rates.items()},
        "ratio": ratios(rates["int8"], rates["default"]),
        "cosine": spread(cosines(vectors)),
    }


def vectors_of(workers: dict[str, Worker], texts: list[str], instruction: str) -> VectorsByDtype:
    """Return the embeddings of a list of texts, normalised."""
    return {
        dtype: np.array(
            worker.ask("vectors", texts=texts, instruction=instruction), dtype=np.float32
        )
        for dtype, worker in workers.items()
    }


def cosines(vectors: VectorsByDtype) -> list[float]:
    """Return the cosine between the two vectors of each text."""
    cosine: list[float] = (vectors["int8"] * vectors["default"]).sum(axis=1).tolist()
    return cosine


def measure_bundled(workers: dict[str, Worker]) -> dict[str, Any]:
    """Return cosines and the loss of nDCG of the bundled model, which the workers have loaded."""
    corpus, questions = almanac.documents(), almanac.held_out_questions()
    prompts = Prompts.from_folder(almanac.MODEL_FOLDER)
    documents = vectors_of(workers, [document.text for document in corpus], prompts.document)
    asked = [question.text for question in questions]
    queries = vectors_of(workers, asked, prompts.for_query("retrieval"))
    row = {document.id: number for number, document in enumerate(corpus)}
    right = np.array([row[question.document_id] for question in questions])
    found = ndcg_by_group(documents, queries, right, [group_name(each) for each in questions])
    # a harmful request is supposed to miss its page
    losses = [1 - g["int8"] / g["default"] for name, g in found.items() if name != "harmful"]
    return {
        "cosine": spread(cosines(documents) + cosines(queries)),
        "ndcg_at_10": found,
        "ndcg_loss": spread(losses),
    }


def ndcg_by_group(
    documents: VectorsByDtype,
    queries: VectorsByDtype,
    right: npt.NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return the mean nDCG@10 by kind of question and dtype.

    `right` has the row of each question's document, `names` the kind of each question.
    """
    ranked = {dtype: ranks(queries[dtype], documents[dtype], right) for dtype in DTYPES}
    rows = {group: [name == group for name in names] for group in GROUPS if group in names}
    return {
        group: {dtype: round(ndcg(ranked[dtype][chosen]), 5) for dtype in DTYPES}
        for group, chosen in rows.items()
    }


def one_process(
    dtype: str, checkpoint: str, documents: list[str], threads: int
) -> tuple[float, float]:
    """Return the MiB that a process has resident after load and encode, and its peak."""
    with ours(threads) as worker:
        worker.ask("load", checkpoint=checkpoint, dtype=DTYPES[dtype])
        worker.ask("encode", texts=documents, instruction=DOCUMENT_INSTRUCTION)
        return worker.ask("resident"), worker.ask("peak")


if __name__ == "__main__":
    main()
