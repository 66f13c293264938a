"""Seconds to read one embedding as 256 tokens of text, ours against the reference package.

python -m benchmarks.decode [--shape almanac|0.6b] [--rounds 3] [--texts FOLDER]

The limit is the time to read the weights from memory once a token; one row through every matrix,
measured in every round, comes close to it.
"""

from __future__ import annotations

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES
from benchmarks.texts import read_texts, sample
from benchmarks.workers import ours, reference

TOKENS = 256


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    (text,) = sample(texts.queries, 1)
    mine, theirs, row = [], [], []
    with ours(options.threads) as our, reference(options.threads) as other:
        for worker in (our, other):
            worker.ask("load", checkpoint=checkpoint)
            worker.ask("decode", text=text, tokens=2)
        for _ in range(options.rounds):
            mine.append(our.ask("decode", text=text, tokens=TOKENS))
            theirs.append(other.ask("decode", text=text, tokens=TOKENS))
            row.append(our.ask("matrices", rows=1, repeats=10))
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
