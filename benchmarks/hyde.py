"""One query, embedded in one pass, against HyDE: the LM writes an answer, which is embedded.

python -m benchmarks.hyde [--shape almanac|0.6b] [--rounds 5] [--texts FOLDER]

Both are ours, on the same resident LM, which writes with a key-value cache; the reference package's
own time for the query stands beside them.
"""

from __future__ import annotations

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.shapes import SHAPES
from benchmarks.texts import read_texts, sample
from benchmarks.workers import ours, reference
from llm2vec_gen_rag.prompts import QUERY_INSTRUCTIONS

WRITTEN = 64


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=5, shape="0.6b")
    shape, texts = SHAPES[options.shape], read_texts(options.texts)
    checkpoint = str(checkpoint_for(shape, texts))
    instruction = QUERY_INSTRUCTIONS["retrieval"]
    warm, *queries = sample(texts.queries, options.rounds + 1)
    mine, theirs, written = [], [], []
    with ours(options.threads) as our, reference(options.threads) as other:
        for worker, arguments in ((our, {}), (other, {"batch_size": None})):
            worker.ask("load", checkpoint=checkpoint)
            worker.ask("encode", texts=[warm], instruction=instruction, **arguments)
        our.ask("hyde", query=warm, tokens=2)
        for query in queries:
            asked = {"texts": [query], "instruction": instruction}
            mine.append(our.ask("encode", **asked))
            theirs.append(other.ask("encode", **asked, batch_size=None))
            written.append(our.ask("hyde", query=query, tokens=WRITTEN))
    figures = {
        "tokens_written": WRITTEN,
        "seconds": {
            "ours": spread(mine),
            "reference": spread(theirs),
            "hyde": spread(written),
        },
        "ratio_of_hyde": ratios(written, mine),
        "ratio_to_reference": ratios(theirs, mine),
    }
    keep("hyde", figures, options)


if __name__ == "__main__":
    main()
