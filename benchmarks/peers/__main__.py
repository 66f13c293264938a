"""Ours beside the other engines that could compute its vectors, and what other vectors cost.

python -m benchmarks.peers [--shape smollm2|0.6b|almanac] [--rounds 3] [--texts FOLDER]

Each round embeds the same texts by every engine, in turn. All but the reference package and
all-MiniLM-L6-v2 are given token ids, so that tokenizing counts against ours alone; each has batches
sorted by length, of whichever size is fastest here. all-MiniLM-L6-v2 has vectors of its own, and
reads no more than 256 tokens of a text. Engines that are not installed are left out, with the
reason: `python -m benchmarks.peers.environment` and `python -m benchmarks.reference_environment`
install them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints import Shape, prepare
from benchmarks.encode import fastest_batch_size
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.peers.engines import INSTRUCTED, Started, engines, start
from benchmarks.peers.model_parts import Parts, token_rows, write_parts
from benchmarks.texts import Texts, sample
from benchmarks.workers import Worker, ours
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.prompts import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

OURS = "ours"
BATCH_SIZES = (1, 4, 16)
COMPARED = 4
SAME = 0.999
WRITTEN = 128
NOT_MEASURED = {
    "reference, decoding": "python -m benchmarks.decode measures it",
    "openvino, decoding": "the module that it converts reads without a KV cache",
}


@dataclass(frozen=True)
class Side:
    """Texts to embed.

    Attributes:
        texts: the documents or the queries.
        instruction: before each.
        rows: the token ids of both, and of the response tokens, of each text.
    """

    texts: list[str]
    instruction: str
    rows: list[list[int]]

    def given(self, names: Sequence[str]) -> dict[str, Any]:
        """Return some of the attributes, by name."""
        return {name: getattr(self, name) for name in names}


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    shape, texts, checkpoint = prepare(options)
    parts, sides = read(checkpoint, shape, texts)
    with ExitStack() as running:
        our, writing = (running.enter_context(ours(options.threads)) for _ in range(2))
        for worker, warm_up in ((our, "warm_up"), (writing, "warm_up_writing")):
            worker.ask("load", checkpoint=checkpoint)
            worker.ask(warm_up)
        started, left_out = start(engines(checkpoint, parts), options.threads, running)
        figures = {
            name: measure(our, started, side, options.rounds) for name, side in sides.items()
        }
        prompt = sides["queries"].rows[0][: -shape.response_tokens]
        figures["decoding"] = measure_decoding(writing, started, prompt, options.rounds)
    shown = {"texts": texts.source, "dtype": parts.dtype, **figures}
    keep("peers", {**shown, "left_out": {**left_out, **NOT_MEASURED}}, options)


def read(checkpoint: str, shape: Shape, texts: Texts) -> tuple[Parts, dict[str, Side]]:
    """Return the files that the engines load, and what they embed.

    That is a third of what `benchmarks.encode` embeds, as there are more engines.
    """
    model, home = LLM2VecGen.from_pretrained(checkpoint), Path(checkpoint).parent
    listed = {
        "documents": (sample(texts.documents, shape.documents // 3), DOCUMENT_INSTRUCTION),
        "queries": (sample(texts.queries, shape.queries // 3), QUERY_INSTRUCTIONS["retrieval"]),
    }
    sides = {
        name: Side(chosen, instruction, token_rows(model, chosen, instruction))
        for name, (chosen, instruction) in listed.items()
    }
    return write_parts(model, home / "base", home / "peers"), sides


def measure(our: Worker, started: Sequence[Started], side: Side, rounds: int) -> dict[str, Any]:
    """Return the figures of one list of texts."""
    count = len(side.texts)
    cosines = same_vectors(our, started, side)  # also warms up: first calls are slower
    calls = {OURS: partial(our.ask, "encode", **side.given(INSTRUCTED))}
    sizes = {}
    for engine, worker in started:
        encode = partial(worker.ask, "encode", **side.given(engine.reads))
        sizes[engine.name], _ = fastest_batch_size(encode, count, BATCH_SIZES)
        calls[engine.name] = partial(encode, batch_size=sizes[engine.name])
    calls[OURS]()
    seconds = in_turn(rounds, calls)
    same = [way for way, cosine in cosines.items() if cosine >= SAME]
    fastest = min(same, key=lambda way: statistics.median(seconds[way]), default=None)
    return {
        "count": count,
        "tokens": sum(map(len, side.rows)),
        "batch_size": sizes,
        **rates(seconds, count, "texts_per_second"),
        "same_vectors": cosines,
        "fastest_same_vectors": fastest,
        "ratio_to_fastest_same_vectors": fastest and ratios(seconds[fastest], seconds[OURS]),
    }


def measure_decoding(
    our: Worker, started: Sequence[Started], prompt: list[int], rounds: int
) -> dict[str, Any]:
    """Return the figures of one prompt's continuation by all that can write."""
    writers = {OURS: our, **{engine.name: worker for engine, worker in started if engine.writes}}
    calls = {
        way: partial(worker.ask, "write", prompt=prompt, tokens=WRITTEN)
        for way, worker in writers.items()
    }
    for worker in writers.values():
        worker.ask("write", prompt=prompt, tokens=2)
    seconds = in_turn(rounds, calls)
    figures = rates(seconds, WRITTEN, "tokens_per_second")
    return {"prompt_tokens": len(prompt), "tokens": WRITTEN, **figures}


def rates(seconds: dict[str, list[float]], count: int, name: str) -> dict[str, Any]:
    """Return how many of something each way does in a second, and how much faster ours is."""
    return {
        name: {way: spread([count / each for each in found]) for way, found in seconds.items()},
        "ratio_to": {
            way: ratios(found, seconds[OURS]) for way, found in seconds.items() if way != OURS
        },
    }


def same_vectors(our: Worker, started: Sequence[Started], side: Side) -> dict[str, float]:
    """Return the lowest cosine of each engine's vectors to ours, where it is to have the same."""
    few = Side(side.texts[:COMPARED], side.instruction, side.rows[:COMPARED])
    vectors = np.array(our.ask("vectors", **few.given(INSTRUCTED)))
    lowest = {}
    for engine, worker in started:
        found = np.array(worker.ask("vectors", **few.given(engine.reads)))
        if engine.same_llm:
            lowest[engine.name] = round(float((vectors * found).sum(axis=1).min()), 6)
    return lowest


if __name__ == "__main__":
    main()
