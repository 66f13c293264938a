"""Documents per second by one process with one thread, and by several with one thread each.

python -m benchmarks.processes [--shape almanac] [--threads 2] [--rounds 5]

`--threads` is the number of processes. The almanac's own short documents, repeated and numbered, on
a random-weight LM of its shape; in each round both embed all of them, in turn.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.checkpoints import SHAPES, checkpoint_for
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.scale import corpus
from benchmarks.texts import Texts
from benchmarks.workers import timed
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.parallel import EncoderPool

DOCUMENTS = 10_000
WARM_UP = 500


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=5, shape="almanac")
    documents = [document.text for document in almanac.documents()]
    checkpoint = checkpoint_for(SHAPES[options.shape], Texts(documents, [], "almanac"))
    texts = corpus(documents, DOCUMENTS)
    torch.set_num_threads(options.threads)  # the pool divides these: one for each process
    with EncoderPool(checkpoint, devices=["cpu"] * options.threads) as pool:
        torch.set_num_threads(1)
        one = LLM2VecGen.from_pretrained(checkpoint, device="cpu")
        for encoder in (one, pool):
            encoder.encode_document(texts[:WARM_UP])
        calls = {
            "one": partial(timed(one.encode_document), texts),
            "several": partial(timed(pool.encode_document), texts),
        }
        seconds = in_turn(options.rounds, calls)
    keep("processes", sum_up(seconds, options.threads), options)


def sum_up(seconds: dict[str, list[float]], processes: int) -> dict[str, Any]:
    """Return rates, and the share of the ideal: one process's rate times their number."""
    ideal = [one / processes for one in seconds["one"]]
    return {
        "documents": DOCUMENTS,
        "processes": processes,
        "texts_per_second": {
            way: spread([DOCUMENTS / each for each in rounds]) for way, rounds in seconds.items()
        },
        "share_of_ideal": ratios(ideal, seconds["several"]),
    }


if __name__ == "__main__":
    main()
