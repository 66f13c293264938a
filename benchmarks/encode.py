"""Documents and queries a second, ours against the reference package.

python -m benchmarks.encode [--shape almanac|0.6b] [--rounds 3] [--texts FOLDER]

Each round embeds the same texts three times: by ours; by the reference in its best arrangement,
batches sorted by length, of whichever size is fastest here; and by the reference as its README has
it, one call of the whole list. The rate of plain matrix products is measured in every round, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES, Shape, needed_flops
from benchmarks.texts import read_texts, sample
from benchmarks.workers import Worker, ours, reference
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

BATCH_SIZES = (4, 8, 16, 32, 64)
# rows of the plain matrix products: enough for their full rate
ROWS = 1_024
COMPARED = 8


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    sides = {
        "documents": (sample(texts.documents, shape.documents), DOCUMENT_INSTRUCTION),
        "queries": (sample(texts.queries, shape.queries), QUERY_INSTRUCTIONS["retrieval"]),
    }
    with ours(options.threads) as our, reference(options.threads) as other:
        our.ask("load", checkpoint=checkpoint)
        other.ask("load", checkpoint=checkpoint)
        figures = {
            side: measure(our, other, shape, listed, instruction, options.rounds)
            for side, (listed, instruction) in sides.items()
        }
    keep("encode", {"texts": texts.source, **figures}, options)


def measure(
    our: Worker, other: Worker, shape: Shape, texts: list[str], instruction: str, rounds: int
) -> dict[str, Any]:
    """Return the figures of one list of texts."""
    asked: dict[str, Any] = {"texts": texts, "instruction": instruction}
    batch_size, tried = fastest_batch_size(other, asked)
    our.ask("encode", **asked)
    seconds: dict[str, list[float]] = {"ours": [], "sorted": [], "one_call": [], "matrices": []}
    for _ in range(rounds):
        seconds["ours"].append(our.ask("encode", **asked))
        seconds["sorted"].append(other.ask("encode", **asked, batch_size=batch_size))
        seconds["one_call"].append(other.ask("encode", **asked, batch_size=None))
        seconds["matrices"].append(our.ask("matrices", rows=ROWS, repeats=5))
    counted = our.ask("lengths", **asked)
    work = needed_flops(shape, counted["lengths"], counted["prefix"])
    product = 2 * shape.layers * shape.layer_weights * ROWS
    rates = [product / measured for measured in seconds["matrices"]]
    return {
        "count": len(texts),
        "tokens": {"all": sum(counted["lengths"]), "shared": counted["prefix"]},
        "reference_batch_size": batch_size,
        "reference_seconds_by_batch_size": tried,
        "texts_per_second": {
            way: spread([len(texts) / measured for measured in seconds[way]])
            for way in ("ours", "sorted", "one_call")
        },
        "ratio_to_sorted": ratios(seconds["sorted"], seconds["ours"]),
        "ratio_to_one_call": ratios(seconds["one_call"], seconds["ours"]),
        "matrix_gflops": spread([rate / 1e9 for rate in rates]),
        "share_of_matrix_rate": {
            way: ratios([work / measured for measured in seconds[way]], rates)
            for way in ("ours", "sorted")
        },
        "lowest_cosine_to_reference": lowest_cosine(our, other, texts[:COMPARED], instruction),
    }


def fastest_batch_size(other: Worker, asked: dict[str, Any]) -> tuple[int, dict[int, float]]:
    """Return the size of sorted batches in which the reference is fastest, and all that it took.

    Larger batches are tried for as long as they are not slower by a tenth.
    """
    tried: dict[int, float] = {}
    for size in BATCH_SIZES:
        tried[size] = other.ask("encode", **asked, batch_size=size)
        if tried[size] > 1.1 * min(tried.values()) or size >= len(asked["texts"]):
            break
    return min(tried, key=tried.__getitem__), {size: round(s, 3) for size, s in tried.items()}


def lowest_cosine(our: Worker, other: Worker, texts: list[str], instruction: str) -> float:
    """Return the lowest cosine between the two packages' vectors of the same text."""
    mine, theirs = (
        np.array(worker.ask("vectors", texts=texts, instruction=instruction))
        for worker in (our, other)
    )
    return round(float((mine * theirs).sum(axis=1).min()), 6)


if __name__ == "__main__":
    main()
