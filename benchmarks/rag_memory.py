"""Peak memory of a whole RAG answer, each time in a fresh process.

python -m benchmarks.rag_memory [--shape almanac|smollm2|0.6b] [--rounds 2]

The almanac's documents are embedded, the two that are nearest to a question are retrieved, and the
LLM answers from them: by the model alone, by a LangChain chain and by a LlamaIndex query engine,
each with one model in memory, and by two models, one to embed and one to answer. Beside the peaks
is what importing each framework takes beyond what this package imports, in the same processes. A
first round, not counted, brings the files into the disk cache.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from benchmarks.checkpoints import SHAPES, checkpoint_for
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.texts import Texts
from benchmarks.workers import Worker
from llm2vec_gen_rag import almanac
from llm2vec_gen_rag.arguments import BUNDLED_MODELS

FRAMEWORKS = ("langchain", "llama_index")
WAYS = ("alone", *FRAMEWORKS, "two_models")
QUESTION = "what money is used where the Eiffel Tower stands?"


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=2, shape="almanac")
    texts = [document.text for document in almanac.documents()]
    shape = SHAPES[options.shape]
    checkpoint = shape.name
    if checkpoint not in BUNDLED_MODELS:
        checkpoint = str(checkpoint_for(shape, Texts(texts, [QUESTION], "almanac")))
    documents = texts[: shape.documents]
    calls = {way: partial(one_process, way, checkpoint, documents, options.threads) for way in WAYS}
    measured = in_turn(options.rounds + 1, calls)
    keep("rag_memory", sum_up(measured, len(documents)), options)


def one_process(
    way: str, checkpoint: str, documents: list[str], threads: int
) -> tuple[float, float]:
    """Return the peak MiB of a process that answers, and the MiB that its imports take."""
    with Worker(sys.executable, "benchmarks.rag_worker", threads) as worker:
        before = worker.ask("resident")
        worker.ask("import_framework", way=way)
        imports = worker.ask("resident") - before
        worker.ask("load", checkpoint=checkpoint)
        worker.ask(way, documents=documents, question=QUESTION)
        return worker.ask("peak"), imports


def sum_up(measured: dict[str, list[tuple[float, float]]], documents: int) -> dict[str, Any]:
    """Return peaks, each as a multiple of the model alone, and the same without the imports."""
    peaks = {way: [peak for peak, _ in rounds[1:]] for way, rounds in measured.items()}
    imports = {way: [taken for _, taken in rounds[1:]] for way, rounds in measured.items()}
    return {
        "documents": documents,
        "peak_mib": {way: spread(found) for way, found in peaks.items()},
        "imports_mib": {way: spread(imports[way]) for way in FRAMEWORKS},
        "ratio_to_alone": {way: ratios(peaks[way], peaks["alone"]) for way in WAYS[1:]},
        "ratio_without_imports": {
            way: ratios(np.subtract(peaks[way], imports[way]).tolist(), peaks["alone"])
            for way in FRAMEWORKS
        },
    }


if __name__ == "__main__":
    main()
