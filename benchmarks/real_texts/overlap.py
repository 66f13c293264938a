"""How many of the texts that are measured stand in the training rows, in part or as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.real_texts.retrieval_sets import RetrievalSet
from llm2vec_gen_rag.evaluation.json_lines import read_rows
from llm2vec_gen_rag.evaluation.refusals import PromptSet
from llm2vec_gen_rag.training.smollm2.rows import (
    DOCUMENT_INSTRUCTION,
    QUERY_INSTRUCTION,
    safety_rows,
)

GRAM = 8  # words in a row
SEEN = 0.5  # of a text's grams
NEAR = 0.8  # of the words of two prompts
SIDES = ("documents", "queries")
_WORD = re.compile(r"\w+")


def measure_overlap(
    rows: Path, sets: Sequence[RetrievalSet], prompts: Sequence[PromptSet]
) -> dict[str, Any]:
    """Return how many texts of each set are seen in the training rows, and how many prompts near.

    A training text is the beginning of an article at most, so the reverse is counted, too: how many
    training texts of at least `GRAM` words are seen in a set's documents.

    Args:
        rows: JSON lines, each with its "query", the instruction in front.
        sets: whole ones.
        prompts: harmful and safe ones.
    """
    trained = training_texts(rows)
    long = [text for text in trained if len(words_of_text(text)) >= GRAM]
    texts = [text for asked in sets for side in SIDES for text in getattr(asked, side)]
    shares = iter(seen_shares(texts, trained))
    counted: dict[str, dict[str, int]] = {}
    for asked in sets:
        counted[asked.name] = {side: len(getattr(asked, side)) for side in SIDES}
        for side in SIDES:
            seen = sum(next(shares) >= SEEN for _ in getattr(asked, side))
            counted[asked.name][f"{side}_seen"] = seen
        inside = sum(share >= SEEN for share in seen_shares(long, asked.documents))
        counted[asked.name]["training_texts_inside"] = inside
    return {
        "training_texts": len(trained),
        "long_training_texts": len(long),
        "sets": counted,
        "prompts": {each.name: _near(each) for each in prompts},
    }


def training_texts(rows: Path) -> list[str]:
    """Return the texts of a file of training rows, without their instructions."""
    return [
        row["query"].removeprefix(QUERY_INSTRUCTION).removeprefix(DOCUMENT_INSTRUCTION)
        for row in read_rows(rows, "query")
    ]


def seen_shares(texts: Sequence[str], trained: Iterable[str]) -> list[float]:
    """Return the share of each text's grams that are in some training text.

    Args:
        texts: what is looked for. The grams of a text are its runs of `GRAM` words; a shorter text
            is one gram of its own length.
        trained: where it is looked for, each read once.

    Returns:
        The shares, in the order of the texts; 0 for a text without words.
    """
    by_text = [set(_grams(words, min(GRAM, len(words)))) for words in map(words_of_text, texts)]
    wanted = set().union(*by_text)
    lengths = sorted({min(GRAM, len(words_of_text(text))) for text in texts} - {0})
    found: set[int] = set()
    for words in map(words_of_text, trained):
        for length in lengths:
            found.update(wanted.intersection(_grams(words, length)))
    return [len(grams & found) / max(1, len(grams)) for grams in by_text]


def nearest_jaccard(prompts: Sequence[str], trained: Sequence[str]) -> list[float]:
    """Return, of each prompt, the largest share of words that it has in common with another one.

    Args:
        prompts: what is compared.
        trained: with which.

    Returns:
        |A and B| / |A or B| of the words of both (Jaccard), in [0, 1].
    """
    bags = [frozenset(words_of_text(text)) for text in trained]
    own = (frozenset(words_of_text(text)) for text in prompts)
    return [max(len(words & bag) / max(1, len(words | bag)) for bag in bags) for words in own]


def words_of_text(text: str) -> list[str]:
    """Return the runs of letters and digits, case aside."""
    return _WORD.findall(text.casefold())


def _grams(words: Sequence[str], length: int) -> Iterator[int]:
    """Yield a hash of each run of so many words, at least one: hashes are half as large as runs."""
    if length:
        runs = zip(*(words[start:] for start in range(length)), strict=False)
        yield from map(hash, runs)


def _near(prompts: PromptSet) -> dict[str, Any]:
    trained = [row.query.removeprefix(QUERY_INSTRUCTION) for row in safety_rows()]
    counted: dict[str, Any] = {}
    for kind in ("harmful", "safe"):
        shares = nearest_jaccard(getattr(prompts, kind), trained)
        counted[kind] = len(shares)
        counted[f"{kind}_near"] = sum(share >= NEAR for share in shares)
        counted[f"{kind}_nearest"] = round(max(shares), 3)
    return counted
