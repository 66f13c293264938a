"""Seconds and peak memory by the size of the corpus, ours against the reference package.

python -m benchmarks.scale [--shape almanac] [--rounds 2]

The almanac's own short documents, shuffled and repeated, each followed by a number of six digits,
on a random-weight LM of its shape; every size in a fresh process. The reference embeds in sorted
batches, and only up to a certain size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.checkpoints import SHAPES, checkpoint_for
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import Texts
from benchmarks.workers import ours, reference
from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION

SIZES = (1_000, 10_000, 100_000)
REFERENCE_MOST = 10_000
BATCH_SIZE = 64


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=2, shape="almanac")
    documents = [document.text for document in almanac.documents()]
    random.Random(0).shuffle(documents)
    source = Texts(documents, [], "almanac")
    checkpoint = str(checkpoint_for(SHAPES[options.shape], source))
    calls = {
        f"{way} {size}": partial(
            one_process, way, checkpoint, corpus(documents, size), options.threads
        )
        for size in SIZES
        for way in (("ours", "sorted") if size <= REFERENCE_MOST else ("ours",))
    }
    measured = in_turn(options.rounds, calls)
    keep("scale", {"documents": SIZES, **sum_up(measured)}, options)


def corpus(documents: Sequence[str], size: int) -> list[str]:
    """Return that many documents, no two alike, of the same lengths on average."""
    return [f"{documents[row % len(documents)]} {row:06d}" for row in range(size)]


def one_process(way: str, checkpoint: str, texts: list[str], threads: int) -> tuple[float, float]:
    """Return the seconds to embed and the peak MiB of a process that loads and embeds."""
    start, arguments = (ours, {}) if way == "ours" else (reference, {"batch_size": BATCH_SIZE})
    with start(threads) as worker:
        worker.ask("load", checkpoint=checkpoint)
        asked: dict[str, Any] = {"instruction": DOCUMENT_INSTRUCTION, **arguments}
        worker.ask("encode", texts=texts[:BATCH_SIZE], **asked)
        return worker.ask("encode", texts=texts, **asked), worker.ask("peak")


def sum_up(measured: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Return seconds and MiB by package and size, and how the largest size compares."""
    seconds = {name: [first for first, _ in rounds] for name, rounds in measured.items()}
    peaks = {name: [second for _, second in rounds] for name, rounds in measured.items()}
    largest, tenth = f"ours {SIZES[-1]}", f"ours {SIZES[-1] // 10}"
    return {
        "seconds": {name: spread(rounds) for name, rounds in seconds.items()},
        "peak_mib": {name: spread(rounds) for name, rounds in peaks.items()},
        "seconds_of_ten_times_as_many": ratios(seconds[largest], seconds[tenth]),
        "peak_of_ten_times_as_many": ratios(peaks[largest], peaks[tenth]),
        "ratio_to_sorted": {
            str(size): ratios(seconds[f"sorted {size}"], seconds[f"ours {size}"])
            for size in SIZES
            if f"sorted {size}" in seconds
        },
    }


if __name__ == "__main__":
    main()
