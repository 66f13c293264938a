"""Documents per second beside a program that keeps a core busy, by the number of threads.

python -m benchmarks.busy [--shape almanac] [--rounds 5]

The busy program counts in a loop, in a process of its own; "quiet" is without it. In each round
each way is measured quiet and then busy: "chosen" is the package as it is, "all" keeps it from
choosing one thread for small products, "one" is `torch.set_num_threads(1)`. The documents are the
almanac's, on a random-weight LM of the shape.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from benchmarks.checkpoints import SHAPES, checkpoint_for
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import Texts
from benchmarks.workers import timed
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.backbone import threads


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=5, shape="almanac")
    shape = SHAPES[options.shape]
    texts = [document.text for document in almanac.documents()]
    model = LLM2VecGen.from_pretrained(
        checkpoint_for(shape, Texts(texts, [], "almanac")), device="cpu"
    )
    documents = texts[: shape.documents]
    ways = {
        way: partial(one_call, model, documents, way, options.threads)
        for way in ("chosen", "all", "one")
    }
    for measure in ways.values():
        measure()
    pairs = {way: partial(quiet_and_busy, measure) for way, measure in ways.items()}
    keep("busy", sum_up(in_turn(options.rounds, pairs), len(documents)), options)


def one_call(model: LLM2VecGen, documents: list[str], way: str, count: int) -> float:
    """Return the seconds to embed the documents."""
    small = threads.SMALL_MATRIX
    torch.set_num_threads(1 if way == "one" else count)
    threads.SMALL_MATRIX = 0 if way == "all" else small
    try:
        return timed(model.encode_document)(documents)
    finally:
        threads.SMALL_MATRIX = small


def quiet_and_busy(measure: Callable[[], float]) -> tuple[float, float]:
    """Return what a measurement gives without the busy program, and beside it."""
    quiet = measure()
    with busy_core():
        return quiet, measure()


@contextmanager
def busy_core() -> Iterator[None]:
    """Run a program that does nothing but count."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def sum_up(measured: dict[str, list[tuple[float, float]]], documents: int) -> dict[str, Any]:
    """Return documents per second, and how the chosen threads compare with all and with one."""
    figures: dict[str, Any] = {"documents": documents}
    for place, state in enumerate(("quiet", "busy")):
        seconds = {way: [pair[place] for pair in rounds] for way, rounds in measured.items()}
        figures[state] = {
            "texts_per_second": {
                way: spread([documents / each for each in rounds])
                for way, rounds in seconds.items()
            },
            "ratio_to_all": ratios(seconds["all"], seconds["chosen"]),
            "ratio_to_one": ratios(seconds["one"], seconds["chosen"]),
        }
    quiet, busy = zip(*measured["chosen"], strict=True)
    return {**figures, "busy_time_of_quiet": ratios(busy, quiet)}


if __name__ == "__main__":
    main()
