"""Ours in 8 bits beside ours in the default dtype: speed, memory, and how near the vectors are.

python -m benchmarks.int8 [--shape almanac|0.6b] [--rounds 3] [--texts FOLDER]

In each round both embed the same texts, in turn. Memory is that of a fresh process, each time: the
peak of load and encode, and what is resident behind them, on Linux. What 8 bits cost in retrieval
takes weights that mean something: those of the bundled model, on all its documents and held-out
questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES
from benchmarks.texts import read_texts, sample
from benchmarks.workers import Worker, ours
from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.checkpoint.format import read_checkpoint
from llm2vec_gen_rag.evaluation.almanac import GROUPS, group_name
from llm2vec_gen_rag.evaluation.metrics import ndcg, ranks
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

DTYPES = {"int8": "int8", "default": None}

# of one list of texts, (texts, dimension), by way
VectorsByWay = dict[str, npt.NDArray[np.float32]]


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    documents = sample(texts.documents, shape.documents)
    queries = sample(texts.queries, shape.queries)
    lives = [
        {way: one_life(way, checkpoint, documents, options.threads) for way in DTYPES}
        for _ in range(options.rounds)
    ]
    with ours(options.threads) as int8, ours(options.threads) as default:
        workers = {"int8": int8, "default": default}
        load(workers, checkpoint)
        figures = {
            "documents": measure(workers, documents, DOCUMENT_INSTRUCTION, options.rounds),
            "queries": measure(workers, queries, QUERY_INSTRUCTIONS["retrieval"], options.rounds),
        }
        load(workers, "almanac")
        bundled = measure_bundled(workers)
    memory = {
        name: {way: spread([life[way][place] for life in lives]) for way in DTYPES}
        for place, name in enumerate(("resident_mib", "peak_mib"))
    }
    keep("int8", {"texts": texts.source, **figures, **memory, "bundled_model": bundled}, options)


def load(workers: dict[str, Worker], checkpoint: str) -> None:
    """Let each worker load a checkpoint, in its dtype."""
    for way, worker in workers.items():
        worker.ask("load", checkpoint=checkpoint, dtype=DTYPES[way])


def measure(
    workers: dict[str, Worker], texts: list[str], instruction: str, rounds: int
) -> dict[str, Any]:
    """Return rates and cosines of one list of texts."""
    vectors = vectors_of(workers, texts, instruction)  # and what comes first is not timed
    rates: dict[str, list[float]] = {way: [] for way in workers}
    for _ in range(rounds):
        for way, worker in workers.items():
            seconds = worker.ask("encode", texts=texts, instruction=instruction)
            rates[way].append(len(texts) / seconds)
    return {
        "count": len(texts),
        "texts_per_second": {way: spread(measured) for way, measured in rates.items()},
        "ratio": ratios(rates["int8"], rates["default"]),
        "cosine": spread(cosines(vectors)),
    }


def vectors_of(workers: dict[str, Worker], texts: list[str], instruction: str) -> VectorsByWay:
    """Return the embeddings of a list of texts, normalised."""
    asked = {"texts": texts, "instruction": instruction}
    return {
        way: np.array(worker.ask("vectors", **asked), dtype=np.float32)
        for way, worker in workers.items()
    }


def cosines(vectors: VectorsByWay) -> list[float]:
    """Return the cosine between the two vectors of each text."""
    cosine: list[float] = (vectors["int8"] * vectors["default"]).sum(axis=1).tolist()
    return cosine


def measure_bundled(workers: dict[str, Worker]) -> dict[str, Any]:
    """Return cosines and the loss of nDCG of the bundled model, which the workers have loaded."""
    corpus, questions = almanac.documents(), almanac.held_out_questions()
    prompts = read_checkpoint(almanac.FOLDER / "model", trust_remote_code=False).prompts
    documents = vectors_of(workers, [document.text for document in corpus], prompts.document)
    asked = [question.text for question in questions]
    queries = vectors_of(workers, asked, prompts.for_query("retrieval"))
    row = {document.id: number for number, document in enumerate(corpus)}
    right = np.array([row[question.document_id] for question in questions])
    names = [group_name(question) for question in questions]
    found = ndcg_by_group(documents, queries, right, names)
    # not of harmful requests, whose page is to be missed
    kept = [each for group, each in found.items() if group != "harmful"]
    losses = [1 - each["int8"] / each["default"] for each in kept]
    return {
        "cosine": spread(cosines(documents) + cosines(queries)),
        "ndcg_at_10": found,
        "ndcg_loss": spread(losses),
    }


def ndcg_by_group(
    documents: VectorsByWay,
    queries: VectorsByWay,
    right: npt.NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return the mean nDCG@10 of each kind of question, by way.

    Args:
        documents: vectors of the corpus.
        queries: vectors of the questions.
        right: the row of each question's document.
        names: the kind of each question.
    """
    ranked = {way: ranks(queries[way], documents[way], right) for way in DTYPES}
    return {
        group: {
            way: round(ndcg(ranked[way][[name == group for name in names]]), 5) for way in DTYPES
        }
        for group in GROUPS
        if group in names
    }


def one_life(way: str, checkpoint: str, documents: list[str], threads: int) -> tuple[float, float]:
    """Return the MiB that a process has resident once it has loaded and encoded, and its peak."""
    with ours(threads) as worker:
        worker.ask("load", checkpoint=checkpoint, dtype=DTYPES[way])
        worker.ask("encode", texts=documents, instruction=DOCUMENT_INSTRUCTION)
        return worker.ask("resident"), worker.ask("peak")


if __name__ == "__main__":
    main()
