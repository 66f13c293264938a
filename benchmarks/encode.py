"""Documents and queries per second, ours against the reference package.

python -m benchmarks.encode [--shape almanac|0.6b|smollm2] [--rounds 3] [--texts FOLDER]

Each round embeds the same texts three times: by ours; by the reference in its best arrangement,
batches sorted by length, of whichever size is fastest here; and by the reference as its README
shows it, one call of the whole list. Each round also times products with the layers' matrices, by
torch's own kernel and by the others that torch has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.checkpoints import Shape, prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import Worker, ours, reference
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
# rows of the matrix products: enough for their full rate
ROWS = 1_024
COMPARED = 8


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    shape, texts, checkpoint = prepare(options)
    sides = {
        "documents": (sample(texts.documents, shape.documents), DOCUMENT_INSTRUCTION),
        "queries": (sample(texts.queries, shape.queries), QUERY_INSTRUCTIONS["retrieval"]),
    }
    with ours(options.threads) as our, reference(options.threads) as other:
        our.ask("load", checkpoint=checkpoint)
        our.ask("copy_matrices")
        our.ask("warm_up")
        other.ask("load", checkpoint=checkpoint)
        dtype = other.ask("dtype")
        figures = {
            side: measure(our, other, shape, listed, instruction, options.rounds)
            for side, (listed, instruction) in sides.items()
        }
    keep("encode", {"texts": texts.source, "reference_dtype": dtype, **figures}, options)


def measure(
    our: Worker, other: Worker, shape: Shape, texts: list[str], instruction: str, rounds: int
) -> dict[str, Any]:
    """Return the figures of one list of texts."""
    asked: dict[str, Any] = {"texts": texts, "instruction": instruction}
    lowest = lowest_cosine(our, other, texts[:COMPARED], instruction)  # also warms up
    batch_size, tried = fastest_batch_size(
        partial(other.ask, "encode", **asked), len(texts), BATCH_SIZES
    )
    our.ask("encode", **asked)
    calls = {
        "ours": partial(our.ask, "encode", **asked),
        "products": partial(our.ask, "matrices_by_kernel", rows=ROWS, repeats=5),
        "sorted": partial(other.ask, "encode", **asked, batch_size=batch_size),
        "one_call": partial(other.ask, "encode", **asked, batch_size=None),
    }
    seconds: dict[str, list[Any]] = in_turn(rounds, calls)
    counted = our.ask("lengths", **asked)
    work = needed_flops(shape, counted["lengths"], counted["prefix"])
    product = 2 * shape.layers * shape.layer_weights * ROWS
    plain = [product / by_kernel["plain"] for by_kernel in seconds["products"]]
    fastest = [product / min(by_kernel.values()) for by_kernel in seconds["products"]]
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
        "matrix_gflops": spread([rate / 1e9 for rate in plain]),
        "share_of_matrix_rate": _shares(work, seconds, plain),
        "fastest_matrix_gflops": spread([rate / 1e9 for rate in fastest]),
        "share_of_fastest_matrix_rate": _shares(work, seconds, fastest),
        "lowest_cosine_to_reference": lowest,
    }


def _shares(work: int, seconds: dict[str, list[Any]], rates: list[float]) -> dict[str, Any]:
    """Return the rates of both packages, each a share of the rate of products."""
    return {
        way: ratios([work / measured for measured in seconds[way]], rates)
        for way in ("ours", "sorted")
    }


def fastest_batch_size(
    encode: Callable[..., float], count: int, sizes: Sequence[int]
) -> tuple[int, dict[int, float]]:
    """Return the fastest size of sorted batches of texts, and the seconds of each size tried.

    Larger sizes are tried until one is slower than the fastest by more than a tenth. If the two
    fastest are within a tenth of each other, both are timed again, and the better time counts.
    """
    tried: dict[int, float] = {}
    for size in sizes:
        tried[size] = encode(batch_size=size)
        if tried[size] > 1.1 * min(tried.values()) or size >= count:
            break
    best = sorted(tried, key=tried.__getitem__)[:2]
    if tried[best[-1]] <= 1.1 * tried[best[0]] and len(best) > 1:
        tried |= {size: min(tried[size], encode(batch_size=size)) for size in best}
    return min(tried, key=tried.__getitem__), {size: round(s, 3) for size, s in tried.items()}


def lowest_cosine(our: Worker, other: Worker, texts: list[str], instruction: str) -> float:
    """Return the lowest cosine between the two packages' vectors of the same text."""
    mine, theirs = (
        np.array(worker.ask("vectors", texts=texts, instruction=instruction))
        for worker in (our, other)
    )
    return round(float((mine * theirs).sum(axis=1).min()), 6)


def needed_flops(shape: Shape, lengths: Sequence[int], prefix: int) -> int:
    """Return the floating-point operations that embeddings need; a multiply-add counts as two.

    Not counted are padding, the tokens that all texts start with, keys that causal attention masks,
    and in the last layer, apart from keys and values, all states but those of the response tokens.
    An implementation that computes more than this has a lower rate.
    Lengths are in tokens, the prefix that all texts start with and response tokens included.
    """
    read = shape.response_tokens
    flops = 0
    for length in lengths:
        tokens = length - prefix
        body = 2 * shape.layer_weights * tokens + _attention_flops(shape, prefix, length)
        last = 2 * shape.key_value_weights * tokens
        last += 2 * (shape.layer_weights - shape.key_value_weights) * read
        last += _attention_flops(shape, length - read, length)
        flops += (shape.layers - 1) * body + last
    return flops


def _attention_flops(shape: Shape, start: int, end: int) -> int:
    """Return the operations of attention's two products, for the queries from `start` to `end`."""
    seen = (end * (end + 1) - start * (start + 1)) // 2
    return 4 * shape.heads * shape.head * seen


if __name__ == "__main__":
    main()
