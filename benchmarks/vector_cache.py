"""Processor time of a query that the cache on disk holds, beside that of its forward.

python -m benchmarks.vector_cache [--model almanac]

It prints milliseconds of processor time, which other programs on the machine hardly change, each
the mean over 40 queries: embedded without a cache, embedded and kept, and found again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings

QUERIES = [f"what money is used in the country whose number is {i}?" for i in range(40)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="almanac")
    model = LLM2VecGen.from_pretrained(parser.parse_args().model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        plain = LLM2VecGenEmbeddings(model=model)
        cached = LLM2VecGenEmbeddings(model=model, cache=Path(folder) / "vectors.sqlite")
        for embeddings in (plain, cached):  # checksums of the weights, once a model
            embeddings.embed_query("one to warm up")
        for what, embeddings in (("forward", plain), ("kept", cached), ("found", cached)):
            print(f"{what:<8} {milliseconds(embeddings):8.2f} ms")


def milliseconds(embeddings: LLM2VecGenEmbeddings) -> float:
    """Return the processor time of a query."""
    start = time.process_time()
    for query in QUERIES:
        embeddings.embed_query(query)
    return (time.process_time() - start) / len(QUERIES) * 1_000


if __name__ == "__main__":
    main()
