"""Queries that bring their own answer, such as a refusal or a document's own text.

The LLM is not asked them. Their answers go into the same file as the LLM's, before the first of
these, and are trained on like them: the teacher reads an answer whole, and reconstruction its first
`max_length` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.training.queries import check_queries, read_table
from llm2vec_gen_rag.training.responses.file import append_responses
from llm2vec_gen_rag.training.responses.response import Response


@dataclass(frozen=True)
class QueryRows:
    """The queries of a run, and the answers that some of them bring.

    Attributes:
        queries: all of them, none blank, none twice.
        brought: the answers that some bring; the LLM writes the others'.
    """

    queries: list[str]
    brought: list[Response]


def read_query_rows(
    source: str | Path, *, column: str = "query", split: str = "train"
) -> QueryRows:
    """Return the queries of a file or a dataset, and the answers that rows of a file bring.

    A row of a `.jsonl` file brings its answer in the field "response"; without it, or with null in
    it, the LLM is asked.

    Args:
        source: as `read_queries`.
        column: as `read_queries`.
        split: as `read_queries`.

    Returns:
        Queries and answers unchanged, in the order of the source.

    Raises:
        ValueError: as `read_queries`, and if an answer is blank or not a string; the error says in
            which line.
        MissingExtraError: as `read_queries`.
    """
    table = read_table(source, column=column, split=split)
    check_queries(table.queries, table.place)
    brought = []
    for row, (query, answer) in enumerate(zip(table.queries, table.answers, strict=True)):
        if answer is None:
            continue
        _check_answer(answer, table.place(row))
        brought.append(Response(query, answer, finished=True, source="given"))
    return QueryRows(table.queries, brought)


def check_brought(brought: Sequence[Response], queries: Sequence[str]) -> None:
    """Require one usable answer at most for each of the queries, and none for any other.

    Args:
        brought: the answers.
        queries: all queries of the run.

    Raises:
        ValueError: as `check_queries`, and if an answer is blank, is said to be the LLM's, is of no
            query, or is a query's second.
    """
    check_queries(queries)
    known, seen = set(queries), set[str]()
    for response in brought:
        place = f"the query {response.query[:80]!r}"
        _check_answer(response.response, place)
        if response.source == "llm":
            raise ValueError(f"{place} brings an answer of the LLM; expected 'given' or 'policy'")
        if response.query not in known:
            raise ValueError(f"{place} brings an answer, but is not among the queries; add it")
        if response.query in seen:
            raise ValueError(f"{place} brings two answers; expected one")
        seen.add(response.query)


def append_brought(
    path: Path,
    queries: Sequence[str],
    brought: Sequence[Response],
    answered: Mapping[str, Response],
) -> list[str]:
    """Append the answers that queries bring, and return the queries that the LLM is to answer.

    Args:
        path: a file that `open_responses` made ready.
        queries: those of this file.
        brought: answers; those to queries of other files are not appended.
        answered: what `open_responses` found in the files of the run.

    Returns:
        The queries without an answer, in their order.

    Raises:
        ValueError: if a query was answered by another source or with other words before.
        StorageError: if they cannot be written; the file is as it was before.
    """
    answers = {response.query: response for response in brought}
    for query in queries:
        if query in answered:
            _require_same(answered[query], answers.get(query), path)
    missing = [query for query in queries if query not in answered]
    append_responses(path, [answers[query] for query in missing if query in answers])
    return [query for query in missing if query not in answers]


def _require_same(found: Response, brought: Response | None, path: Path) -> None:
    """Raise ValueError if a query's answer in the run is not the one that it now brings."""
    if brought == found or (brought is None and found.source == "llm"):
        return
    now = "the LLM is to answer it" if brought is None else f"it brings {_shown(brought)}"
    raise ValueError(
        f"the query {found.query[:80]!r} has {_shown(found)} in the run of {path}, and now {now}. "
        "Restore the queries and the policy, delete the run's responses, or choose another path."
    )


def _shown(response: Response) -> str:
    """Return the beginning of an answer, with its source."""
    source: Any = response.source if response.category is None else f"policy {response.category!r}"
    return f"the answer {response.response[:60]!r} ({source})"


def _check_answer(answer: object, place: str) -> None:
    """Raise ValueError unless an answer that is brought is a string that is not blank."""
    if not isinstance(answer, str) or not answer.strip():
        raise ValueError(
            f"{place} brings {answer!r:.80} as its answer; expected a string that is not blank. To "
            "let the LLM answer, leave the response out."
        )
