"""Seconds to load the bundled model and to embed 1,000 documents with it, and its size.

python -m benchmarks.almanac [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch

from llm2vec_gen_rag import LLM2VecGen, almanac

DOCUMENTS = 1000


def measure(rounds: int) -> dict[str, object]:
    """Return seconds to load and to embed: the median of some rounds after one to warm up."""
    texts = [document.text for document in almanac.documents()[:DOCUMENTS]]
    loads, embeds = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        model = LLM2VecGen.from_pretrained("almanac")
        loaded = time.perf_counter()
        model.encode_document(texts)
        loads.append(loaded - started)
        embeds.append(time.perf_counter() - loaded)
    files = [path for path in almanac.FOLDER.rglob("*") if path.is_file()]
    return {
        "documents": len(texts),
        "first_load_seconds": round(loads[0], 2),
        "load_seconds": round(statistics.median(loads[1:]), 2),
        "embed_seconds": round(statistics.median(embeds[1:]), 2),
        "package_data_mib": round(sum(path.stat().st_size for path in files) / 2**20, 1),
        "dtype": str(model.dtype),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.rounds), indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
