"""The nDCG@10 of other checkpoints on the same LLM: other teachers, less training, other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_texts.kept_vectors import KeptVectors
from benchmarks.real_texts.ranking import cosines, ndcg_of_queries
from benchmarks.real_texts.readers import EmbeddingReader
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag import LLM2VecGen

DIGITS = 4


def measure_recipes(
    folders: Mapping[str, Path],
    sets: Sequence[RetrievalSet],
    work: Path,
    *,
    base_model: str,
    max_length: int,
) -> dict[str, Any]:
    """Return the fingerprint of each checkpoint and the nDCG@10 of each query, by label.

    Args:
        folders: a checkpoint of each label.
        sets: what is embedded.
        work: keeps the vectors, in a folder of each label.
        base_model: the LLM of all of them.
        max_length: tokens that are read of a text.
    """
    found = {}
    for label, folder in folders.items():
        model = LLM2VecGen.from_pretrained(folder, base_model=base_model, dtype="float32")
        reader = EmbeddingReader(model, KeptVectors(work / label.replace(" ", "_")), max_length)
        found[label] = {
            "dimension": model.dimension,
            "fingerprint": model.fingerprint,
            "ndcg": {asked.name: _ndcg(reader, asked) for asked in sets},
        }
    return found


def _ndcg(reader: EmbeddingReader, asked: RetrievalSet) -> list[float]:
    scores = cosines(
        reader.queries(f"{asked.name}.queries", asked.queries),
        reader.documents(f"{asked.name}.documents", asked.documents),
    )
    return [round(float(each), DIGITS) for each in ndcg_of_queries(scores, asked)]
