"""Milliseconds for one query alone: embedded by the model, by its teacher, or answered first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.real_texts.readers import WRITTEN_TOKENS, Readers

EMBEDDED = 20  # queries; the median counts
ANSWERED = 5


def measure_latency(readers: Readers, queries: Sequence[str]) -> dict[str, Any]:
    """Return the median milliseconds of one query by way, after one that is not counted.

    Args:
        readers: the model and its teacher.
        queries: some twenty.
    """
    few, first = queries[: EMBEDDED + 1], queries[: ANSWERED + 1]
    embed = {
        "ours": readers.model.encode_query,
        "teacher": lambda query: readers.teacher.embed([query]),
    }
    found = _milliseconds(embed, few)
    found |= _milliseconds({"hyde": lambda query: _written(readers, query)}, first)
    return {"written_tokens": WRITTEN_TOKENS, "milliseconds": found}


def _written(readers: Readers, query: str) -> None:
    readers.teacher.embed([readers.model.answer(query, max_new_tokens=WRITTEN_TOKENS)])


def _milliseconds(
    ways: Mapping[str, Callable[[str], Any]], queries: Sequence[str]
) -> dict[str, float]:
    """Return the median of each way, in turn; the first query warms up and does not count."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for query in queries:
        for way, run in ways.items():
            started = time.perf_counter()
            run(query)
            seconds[way].append(time.perf_counter() - started)
    return {
        way: round(1000 * statistics.median(each[1:] or each), 1) for way, each in seconds.items()
    }
