"""Seconds to decode one embedding to 256 tokens of text, ours against the reference package.

python -m benchmarks.decode [--shape almanac|0.6b|smollm2] [--rounds 3] [--texts FOLDER]

The `generate` of transformers decodes the same embedding with our loaded LLM, too. Each token needs
all weights from memory once, so the limit is the time to read them, which is measured in every
round, as is one row through every matrix of the layers by oneDNN.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.checkpoints import prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import ours, reference

TOKENS = 256
WRITERS = ("ours", "generate", "reference")


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    _, texts, checkpoint = prepare(options)
    (text,) = sample(texts.queries, 1)
    with ours(options.threads) as our, reference(options.threads) as other:
        our.ask("load", checkpoint=checkpoint)
        our.ask("copy_matrices")
        our.ask("warm_up_writing")
        other.ask("load", checkpoint=checkpoint)
        decode = {
            "ours": partial(our.ask, "decode", text=text),
            "generate": partial(our.ask, "decode_by_generate", text=text),
            "reference": partial(other.ask, "decode", text=text),
        }
        for call in decode.values():
            call(tokens=2)
        calls = {
            **{writer: partial(call, tokens=TOKENS) for writer, call in decode.items()},
            "matrices": partial(our.ask, "matrices", rows=1, repeats=10),
            "reading": partial(our.ask, "read_weights", repeats=10),
        }
        seconds = in_turn(options.rounds, calls)
        weights, dtype = our.ask("weight_bytes"), other.ask("dtype")
    keep(
        "decode",
        {"texts": texts.source, "reference_dtype": dtype, **sum_up(seconds, weights)},
        options,
    )


def sum_up(seconds: dict[str, list[float]], weights: int) -> dict[str, Any]:
    """Return the figures of the seconds of each round, for a model of that many bytes."""
    mine = seconds["ours"]
    a_token = [each / TOKENS for each in mine]
    return {
        "tokens": TOKENS,
        "seconds": {writer: spread(seconds[writer]) for writer in WRITERS},
        "ratio": ratios(seconds["reference"], mine),
        "ratio_to_generate": ratios(seconds["generate"], mine),
        "milliseconds_a_token": spread([1e3 * each for each in a_token]),
        "milliseconds_of_the_matrices": spread([1e3 * each for each in seconds["matrices"]]),
        "milliseconds_to_read_the_weights": spread([1e3 * each for each in seconds["reading"]]),
        "token_time_of_reading": ratios(a_token, seconds["reading"]),
        "weights_read_gb_per_second": spread([weights / each / 1e9 for each in a_token]),
    }


if __name__ == "__main__":
    main()
