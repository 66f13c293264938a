"""The texts to embed: those of a folder in the BEIR layout, or a stand-in of the same lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# words per text of SciFact's documents and test queries: mean and deviation of the logarithm
DOCUMENT_WORDS = (5.30, 0.37)
QUERY_WORDS = (2.44, 0.41)
STAND_IN_DOCUMENTS = 5_000
STAND_IN_QUERIES = 300
_SYLLABLES = [onset + vowel for onset in "bcdfghlmnprstv" for vowel in ("a", "e", "i", "o", "u")]


@dataclass(frozen=True)
class Texts:
    """Documents and queries.

    Attributes:
        source: the folder's name, or "stand-in".
    """

    documents: Sequence[str]
    queries: Sequence[str]
    source: str


def read_texts(folder: Path | None) -> Texts:
    """Return the texts of a folder, its corpus.jsonl and queries_test.jsonl, or a stand-in."""
    if folder is None:
        return stand_in()
    documents = [f"{row['title']} {row['text']}" for row in _rows(folder / "corpus.jsonl")]
    queries = [row["text"] for row in _rows(folder / "queries_test.jsonl")]
    return Texts(documents, queries, folder.resolve().name)


def stand_in() -> Texts:
    """Return texts of invented words, as long as SciFact's and the same at every call."""
    generator = random.Random(0)
    words = ["".join(generator.choices(_SYLLABLES, k=1 + row % 5)) for row in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(words))]

    def text(spread: tuple[float, float]) -> str:
        count = max(3, round(generator.lognormvariate(*spread)))
        return " ".join(generator.choices(words, weights, k=count))

    documents = [text(DOCUMENT_WORDS) for _ in range(STAND_IN_DOCUMENTS)]
    return Texts(documents, [text(QUERY_WORDS) for _ in range(STAND_IN_QUERIES)], "stand-in")


def sample(texts: Sequence[str], count: int) -> list[str]:
    """Return some of the texts, shuffled; they repeat only where there are fewer than that."""
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    return [texts[order[row % len(order)]] for row in range(count)]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
