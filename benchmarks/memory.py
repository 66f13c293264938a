"""Peak memory of load, encode and decode, and seconds to load, each time in a fresh process.

python -m benchmarks.memory [--shape almanac|0.6b] [--rounds 2] [--texts FOLDER]

The reference embeds in sorted batches, and apart from that in one call, as its README has it. A
first round that is not counted brings the files into the disk's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES
from benchmarks.texts import read_texts, sample
from benchmarks.workers import Worker, ours, reference
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION

TOKENS = 16
BATCH_SIZE = 8

Way = tuple[Callable[[int], Worker], dict[str, Any]]
WAYS: dict[str, Way] = {
    "ours": (ours, {}),
    "sorted": (reference, {"batch_size": BATCH_SIZE}),
    "one_call": (reference, {"batch_size": None}),
}


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=2, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    documents = sample(texts.documents, shape.documents)
    loads: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(options.rounds + 1):
        for way in WAYS:
            load, peak = one_life(way, checkpoint, documents, options.threads)
            if number:
                loads[way].append(load)
                peaks[way].append(peak)
    figures = {
        "texts": texts.source,
        "count": len(documents),
        "peak_mib": {way: spread(measured) for way, measured in peaks.items()},
        "load_seconds": {way: spread(loads[way]) for way in ("ours", "sorted")},
        "memory_ratio": ratios(peaks["ours"], peaks["sorted"]),
        "memory_ratio_to_one_call": ratios(peaks["ours"], peaks["one_call"]),
        "load_ratio": ratios(loads["ours"], loads["sorted"]),
    }
    keep("memory", figures, options)


def one_life(way: str, checkpoint: str, documents: list[str], threads: int) -> tuple[float, float]:
    """Return seconds to load and peak MiB of a process that loads, encodes, decodes and ends."""
    start, arguments = WAYS[way]
    with start(threads) as worker:
        load = worker.ask("load", checkpoint=checkpoint)
        worker.ask("encode", texts=documents, instruction=DOCUMENT_INSTRUCTION, **arguments)
        worker.ask("decode", text=documents[0], tokens=TOKENS)
        return load, worker.ask("peak")


if __name__ == "__main__":
    main()
