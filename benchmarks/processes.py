"""Documents per second by one process with one thread, and by several of one thread each.

python -m benchmarks.processes [--shape almanac] [--threads 2] [--rounds 5]

As many processes as `--threads`. The almanac's own short documents, over again with a number behind
them, on a random-weight LM of its shape; in each round both embed all of them, in turn.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.scale import corpus
from benchmarks.serving import seconds_of
from benchmarks.shapes import SHAPES
from benchmarks.texts import Texts
from llm2vec_gen_rag import LLM2VecGen, almanac
from llm2vec_gen_rag.parallel.pool import EncoderPool

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
        seconds: dict[str, list[float]] = {"one": [], "several": []}
        ways: dict[str, LLM2VecGen | EncoderPool] = {"one": one, "several": pool}
        for encoder in ways.values():
            encoder.encode_document(texts[:WARM_UP])
        for _ in range(options.rounds):
            for way, encoder in ways.items():
                seconds[way].append(seconds_of(lambda each=encoder: each.encode_document(texts)))
    keep("processes", sum_up(seconds, options.threads), options)


def sum_up(seconds: dict[str, list[float]], processes: int) -> dict[str, Any]:
    """Return rates, and the share of as many times the rate of one as there are processes."""
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
