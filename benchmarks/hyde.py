"""One query, embedded in one forward pass, against HyDE: the LLM writes an answer to embed.

python -m benchmarks.hyde [--shape almanac|0.6b|smollm2] [--rounds 5] [--texts FOLDER]

The same LLM writes with a KV cache, in two ways: by this package, and by the `generate` of
transformers, as HyDE is usually run. It has a process of its own, as matrices lie otherwise in one
that mostly writes. The reference package's own time for the query is measured, too.
"""

from __future__ import annotations

from benchmarks.checkpoints import prepare
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.texts import sample
from benchmarks.workers import ours, reference
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS

WRITTEN = 64
WRITERS = ("hyde", "hyde_by_generate")


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=5)
    _, texts, checkpoint = prepare(options)
    instruction = QUERY_INSTRUCTIONS["retrieval"]
    warm, *queries = sample(texts.queries, options.rounds + 1)
    mine, theirs = [], []
    written: dict[str, list[float]] = {writer: [] for writer in WRITERS}
    threads = options.threads
    with ours(threads) as our, ours(threads) as writing, reference(threads) as other:
        our.ask("load", checkpoint=checkpoint)
        our.ask("warm_up")
        writing.ask("load", checkpoint=checkpoint)
        writing.ask("warm_up_writing")
        other.ask("load", checkpoint=checkpoint)
        for worker, arguments in ((our, {}), (other, {"batch_size": None})):
            worker.ask("encode", texts=[warm], instruction=instruction, **arguments)
        for writer in WRITERS:
            writing.ask(writer, query=warm, tokens=2)
        for query in queries:
            asked = {"texts": [query], "instruction": instruction}
            mine.append(our.ask("encode", **asked))
            theirs.append(other.ask("encode", **asked, batch_size=None))
            for writer, seconds in written.items():
                seconds.append(writing.ask(writer, query=query, tokens=WRITTEN))
        dtype = other.ask("dtype")
    figures = {
        "tokens_written": WRITTEN,
        "reference_dtype": dtype,
        "seconds": {
            "ours": spread(mine),
            "reference": spread(theirs),
            **{writer: spread(seconds) for writer, seconds in written.items()},
        },
        **{f"ratio_of_{writer}": ratios(seconds, mine) for writer, seconds in written.items()},
        "ratio_to_reference": ratios(theirs, mine),
    }
    keep("hyde", figures, options)


if __name__ == "__main__":
    main()
