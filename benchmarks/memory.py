"""Peak memory of load, encode and decode, and seconds to load, each time in a fresh process.

python -m benchmarks.memory [--shape almanac|0.6b|smollm2] [--rounds 2] [--texts FOLDER]

The reference embeds one document at a time, in sorted batches, and in one call, as its README shows
it, each in a process of its own. A first round, not counted, brings the files into the disk cache.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.checkpoints import prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import ours, reference
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION

TOKENS = 16
BATCH_SIZE = 8
# what `encode` is asked besides the texts
WAYS: dict[str, dict[str, Any]] = {
    "ours": {},
    "single": {"batch_size": 1},
    "sorted": {"batch_size": BATCH_SIZE},
    "one_call": {"batch_size": None},
}


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=2)
    shape, texts, checkpoint = prepare(options)
    documents = sample(texts.documents, shape.documents)
    calls = {way: partial(one_process, way, checkpoint, documents, options.threads) for way in WAYS}
    measured = in_turn(options.rounds + 1, calls)
    loads = {way: [load for load, _ in each[1:]] for way, each in measured.items()}
    peaks = {way: [peak for _, peak in each[1:]] for way, each in measured.items()}
    figures = {
        "texts": texts.source,
        "count": len(documents),
        "peak_mib": {way: spread(measured) for way, measured in peaks.items()},
        "load_seconds": {way: spread(loads[way]) for way in ("ours", "sorted")},
        "reference_batch_size": BATCH_SIZE,
        "memory_ratio": ratios(peaks["ours"], peaks["sorted"]),
        "memory_ratio_to_one_call": ratios(peaks["ours"], peaks["one_call"]),
        "memory_ratio_to_single": ratios(peaks["ours"], peaks["single"]),
        "load_ratio": ratios(loads["ours"], loads["sorted"]),
    }
    keep("memory", figures, options)


def one_process(
    way: str, checkpoint: str, documents: list[str], threads: int
) -> tuple[float, float]:
    """Return the seconds to load and the peak MiB of a process that loads, encodes and decodes."""
    with (ours if way == "ours" else reference)(threads) as worker:
        load = worker.ask("load", checkpoint=checkpoint)
        worker.ask("encode", texts=documents, instruction=DOCUMENT_INSTRUCTION, **WAYS[way])
        worker.ask("decode", text=documents[0], tokens=TOKENS)
        return load, worker.ask("peak")


if __name__ == "__main__":
    main()
