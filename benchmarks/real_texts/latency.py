"""Milliseconds for one query alone: embedded by the model, by its teacher, or answered first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.real_texts.readers import WRITTEN_TOKENS, Readers

EMBEDDED = 20  # queries; the median counts
ANSWERED = 5


def measure_latency(readers: Readers, queries: Sequence[str], *, written: bool) -> dict[str, Any]:
    """Return the median milliseconds of one query by way, after one that is not counted.

    Args:
        readers: the model and its teacher.
        queries: some twenty.
        written: whether to measure the written answer (HyDE), too.
    """
    few, first = queries[: EMBEDDED + 1], queries[: ANSWERED + 1]
    found = {
        "ours": _milliseconds(readers.model.encode_query, few),
        "teacher": _milliseconds(lambda query: readers.teacher.embed([query]), few),
    }
    if written:
        found["hyde"] = _milliseconds(lambda query: _written(readers, query), first)
    return {"written_tokens": WRITTEN_TOKENS, "milliseconds": found}


def _written(readers: Readers, query: str) -> None:
    readers.teacher.embed([readers.model.answer(query, max_new_tokens=WRITTEN_TOKENS)])


def _milliseconds(run: Callable[[str], Any], queries: Sequence[str]) -> float:
    """Return the median of all queries but the first, which warms up."""
    seconds = []
    for query in queries:
        started = time.perf_counter()
        run(query)
        seconds.append(time.perf_counter() - started)
    return round(1000 * statistics.median(seconds[1:] or seconds), 1)
