"""Seconds to decode one embedding to 256 tokens of text, ours against the reference package.

python -m benchmarks.decode [--shape almanac|0.6b|smollm2] [--rounds 3] [--texts FOLDER]

The limit is the time to read all weights from memory once per token. One row through every matrix,
timed in every round, comes close to it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.checkpoints import prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import ours, reference

TOKENS = 256


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    shape, texts, checkpoint = prepare(options)
    (text,) = sample(texts.queries, 1)
    with ours(options.threads) as our, reference(options.threads) as other:
        for worker in (our, other):
            worker.ask("load", checkpoint=checkpoint)
            worker.ask("decode", text=text, tokens=2)
        calls = {
            "ours": partial(our.ask, "decode", text=text, tokens=TOKENS),
            "reference": partial(other.ask, "decode", text=text, tokens=TOKENS),
            "matrices": partial(our.ask, "matrices", rows=1, repeats=10),
        }
        mine, theirs, row = in_turn(options.rounds, calls).values()
    weights = 2 * (shape.layers * shape.layer_weights + shape.vocabulary * shape.hidden)
    figures = {
        "tokens": TOKENS,
        "seconds": {"ours": spread(mine), "reference": spread(theirs)},
        "ratio": ratios(theirs, mine),
        "milliseconds_a_token": spread([1e3 * seconds / TOKENS for seconds in mine]),
        "milliseconds_of_the_matrices": spread([1e3 * seconds for seconds in row]),
        "weights_read_gb_per_second": spread([weights * TOKENS / s / 1e9 for s in mine]),
    }
    keep("decode", figures, options)


if __name__ == "__main__":
    main()
