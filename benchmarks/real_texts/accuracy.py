"""What other dtypes and other forwards change beside float32, on trained weights and real texts.

transformers' own forward reads padded batches: without this package's packing, cache of the
instruction's keys and values, and fused passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.real_texts.intervals import mean_with_interval, ratio_over_sets
from benchmarks.real_texts.kept_vectors import Arrays, KeptVectors
from benchmarks.real_texts.ranking import Vectors, cosines, ndcg_of_queries
from benchmarks.real_texts.readers import EmbeddingReader
from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag import LLM2VecGen, cpu
from llm2vec_gen_rag.teachers.protocol import unit

EXACT = "float32"
PLAIN = "float32, transformers' forward"
DTYPES = ("int8", "bfloat16")
SIDES = ("documents", "queries")


def measure_accuracy(
    name: str,
    sets: Sequence[RetrievalSet],
    work: Path,
    *,
    dtypes: Sequence[str] = DTYPES,
    max_length: int,
) -> dict[str, Any]:
    """Return cosines to float32 and nDCG@10 of each set, by dtype of the LLM or by its forward.

    Args:
        name: of the model.
        sets: what is embedded.
        work: keeps the vectors, in a folder of each way.
        dtypes: beside float32.
        max_length: see `EmbeddingReader`; with that of retrieval, float32 finds what it finds.
    """
    ways = (EXACT, PLAIN, *dtypes)
    vectors = {way: _vectors(name, way, sets, work, max_length) for way in ways}
    return {
        asked.name: {
            "documents": len(asked.documents),
            "queries": len(asked.queries),
            "dtypes": {
                way: compared_with_float32(asked, vectors[EXACT][asked.name], found[asked.name])
                for way, found in vectors.items()
            },
        }
        for asked in sets
    }


def similarity(exact: Vectors, other: Vectors) -> dict[str, float]:
    """Return the worst and the mean cosine of each text's two vectors, as they are and centred.

    Args:
        exact: (texts, dimension).
        other: the same texts, embedded less exactly.
    """
    mean = exact.mean(axis=0)
    plain = _paired(exact, other)
    centred = _paired(exact - mean, other - mean)
    return {
        "worst_cosine": float(plain.min()),
        "mean_cosine": float(plain.mean()),
        "worst_centred_cosine": float(centred.min()),
        "mean_centred_cosine": float(centred.mean()),
    }


def _paired(first: Vectors, second: Vectors) -> np.ndarray:
    return np.asarray((unit(first) * unit(second)).sum(axis=1))


def compared_with_float32(asked: RetrievalSet, exact: Arrays, other: Arrays) -> dict[str, Any]:
    """Return the cosines of both sides' vectors, the nDCG@10, and its ratio with an interval.

    Args:
        asked: the set.
        exact: "documents" and "queries" in float32, (texts, dimension) each.
        other: the same in another dtype.
    """
    in_float32, found = (
        ndcg_of_queries(cosines(each["queries"], each["documents"]), asked)
        for each in (exact, other)
    )
    mean, low, high = mean_with_interval(found, asked.name)
    return {
        **{side: similarity(exact[side], other[side]) for side in SIDES},
        "ndcg": mean,
        "ndcg_interval": (low, high),
        "ndcg_ratio": ratio_over_sets({asked.name: found}, {asked.name: in_float32}),
    }


def _vectors(
    name: str, way: str, sets: Sequence[RetrievalSet], work: Path, max_length: int
) -> dict[str, Arrays]:
    """Return the embeddings of both sides of each set, by a dtype of the LLM or by `PLAIN`."""
    model = LLM2VecGen.from_pretrained(name, dtype=EXACT if way == PLAIN else way)
    # a folder of each way: the key of a vector does not tell the forwards apart
    reader = EmbeddingReader(model, KeptVectors(work / way.replace(" ", "_")), max_length)
    with transformers_forward() if way == PLAIN else nullcontext():
        return {
            asked.name: {
                "documents": reader.documents(f"{asked.name}.documents", asked.documents),
                "queries": reader.queries(f"{asked.name}.queries", asked.queries),
            }
            for asked in sets
        }


@contextmanager
def transformers_forward() -> Iterator[None]:
    """Compute inside the block as if no forward of this package suited the LLM."""
    with patch.object(cpu, "forward_for", lambda _: None):
        yield
