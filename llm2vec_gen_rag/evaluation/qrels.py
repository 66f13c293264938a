"""Relevance judgements of the BEIR layout."""

from __future__ import annotations

from pathlib import Path


def read_qrels(path: Path, documents: set[str], queries: set[str]) -> dict[str, dict[str, int]]:
    """Return relevance by query and document, without queries that have none.

    Args:
        path: query-id, corpus-id and score, with tabs between; a heading is skipped.
        documents: all ids of the corpus.
        queries: all ids of the queries.

    Returns:
        For each query with a relevant document, the positive scores by document.

    Raises:
        ValueError: if a line is not as described, names what is in neither set, or nothing is
            relevant.
    """
    relevant: dict[str, dict[str, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.split("\t")
        if not line.strip() or (number == 1 and parts[0] == "query-id"):
            continue
        if len(parts) != 3 or not parts[2].strip().lstrip("-").isdecimal():
            raise ValueError(
                f"{path}, line {number} is {line!r:.80}; expected query-id, corpus-id and a whole "
                "number, with tabs between."
            )
        query, document = parts[0], parts[1]
        if query not in queries or document not in documents:
            raise ValueError(
                f"{path}, line {number} has query {query!r} and document {document!r}, which are "
                "not both in the folder. Take queries and qrels of the same split."
            )
        if int(parts[2]) > 0:
            relevant.setdefault(query, {})[document] = int(parts[2])
    if not relevant:
        raise ValueError(f"{path} holds no relevant document; expected at least one.")
    return relevant
