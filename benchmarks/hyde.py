"""One query, embedded in one pass, against HyDE: the LM writes an answer, which is embedded.

python -m benchmarks.hyde [--shape almanac|0.6b] [--rounds 5] [--texts FOLDER]

The same resident LM writes with a key-value cache, in two ways: by this package, and by the
`generate` of transformers, as HyDE is commonly run. The reference package's own time for the query
stands beside them.
"""

from __future__ import annotations

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES
from benchmarks.texts import read_texts, sample
from benchmarks.workers import ours, reference
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS

WRITTEN = 64
WRITERS = ("hyde", "hyde_by_generate")


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=5, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    instruction = QUERY_INSTRUCTIONS["retrieval"]
    warm, *queries = sample(texts.queries, options.rounds + 1)
    mine, theirs = [], []
    written: dict[str, list[float]] = {writer: [] for writer in WRITERS}
    with ours(options.threads) as our, reference(options.threads) as other:
        for worker, arguments in ((our, {}), (other, {"batch_size": None})):
            worker.ask("load", checkpoint=checkpoint)
            worker.ask("encode", texts=[warm], instruction=instruction, **arguments)
        for writer in WRITERS:
            our.ask(writer, query=warm, tokens=2)
        for query in queries:
            asked = {"texts": [query], "instruction": instruction}
            mine.append(our.ask("encode", **asked))
            theirs.append(other.ask("encode", **asked, batch_size=None))
            for writer, seconds in written.items():
                seconds.append(our.ask(writer, query=query, tokens=WRITTEN))
    figures = {
        "tokens_written": WRITTEN,
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
