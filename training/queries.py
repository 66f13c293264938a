"""Unlabeled queries: read from a file or a dataset, and checked before any work is done on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.errors import require_extra
from llm2vec_gen_rag.files import parse_json_line, text_lines

# files that `datasets` leaves in a folder it saved itself
_SAVED_DATASET = ("dataset_info.json", "dataset_dict.json")
ANSWER = "response"  # the field of a JSON object that holds the answer which it brings


@dataclass(frozen=True)
class QueryTable:
    """What a source of queries holds, unchecked.

    Attributes:
        queries: one a row.
        answers: the answer that each row brings; None if it brings none.
        place: says where a row is, such as "queries.jsonl, line 3".
    """

    queries: list[Any]
    answers: list[Any]
    place: Callable[[int], str]


def read_queries(source: str | Path, *, column: str = "query", split: str = "train") -> list[str]:
    """Return the queries of a file or a dataset, unchanged and in its order.

    What is read, by the kind of the source:

    - a file that ends in `.jsonl`: one JSON object a line;
    - a file that ends in `.parquet` (extra `datasets`);
    - a file that ends in `.txt`, or without an ending: UTF-8, one query a line;
    - a folder, or a name on the hub, that the `datasets` library reads (extra `datasets`).

    Args:
        source: a path, or the name of a dataset.
        column: the field of a JSON object, or the column of a Parquet file or a dataset.
        split: which split to read, of a dataset that has splits.

    Returns:
        At least one query, none blank, none twice.

    Raises:
        ValueError: if there is no such source or column, it holds no queries, or one is blank or a
            duplicate; the error says in which line, or in which row, counted from 0.
        MissingExtraError: if the source needs the `datasets` library and it is not installed.
    """
    table = read_table(source, column=column, split=split)
    check_queries(table.queries, table.place)
    return table.queries


def read_table(source: str | Path, *, column: str = "query", split: str = "train") -> QueryTable:
    """Return what a file or a dataset holds, before its rows are checked.

    Only a row of a `.jsonl` file can bring an answer, in its field "response"; null is none.

    Args:
        source: as `read_queries`.
        column: as `read_queries`.
        split: as `read_queries`.

    Returns:
        At least one row.

    Raises:
        ValueError: if there is no such source or column, or it holds no queries.
        MissingExtraError: as `read_queries`.
    """
    path = Path(source)
    unit, first = "line", 1
    answers: list[Any] = []
    if path.is_dir() or _looks_like_a_name(path):
        queries, unit, first = _read_dataset(str(source), column, split), "row", 0
    elif not path.exists():
        raise ValueError(f"there is no file {path}; check the path")
    elif path.suffix == ".parquet":
        queries, unit, first = _read_parquet(path, column), "row", 0
    elif path.suffix == ".jsonl":
        queries, answers = _read_json_lines(path, column)
    elif path.suffix in {".txt", ""}:
        queries = _read_lines(path)
    else:
        raise ValueError(
            f"{path} is of a kind that cannot be read; expected a name that ends in .jsonl, "
            ".parquet or .txt, a folder, or the name of a dataset"
        )
    if not queries:
        raise ValueError(f"{source} holds no queries; expected at least one")
    return QueryTable(
        queries,
        answers or [None] * len(queries),
        lambda row: f"{source}, {unit} {row + first}",
    )


def check_queries(
    queries: Sequence[str], place: Callable[[int], str] = lambda row: f"query {row}"
) -> None:
    """Raise unless there are queries, none of them blank, none twice.

    Args:
        queries: the queries.
        place: says where a query is, given its row.

    Raises:
        ValueError: says where the first query is that is not as described.
    """
    if isinstance(queries, str) or not queries:
        raise ValueError(f"got {queries!r} for queries; expected a list of at least one query")
    first_row: dict[str, int] = {}
    for row, query in enumerate(queries):
        if not isinstance(query, str) or not query.strip():
            raise ValueError(f"{place(row)} is {query!r:.80}; expected a string that is not blank")
        if query in first_row:
            raise ValueError(
                f"{place(row)} repeats {place(first_row[query])}: {query[:80]!r}; remove one, for "
                "example with list(dict.fromkeys(queries)), or from a file of one a line with "
                "awk 'NF && !seen[$0]++'"
            )
        first_row[query] = row


def _looks_like_a_name(path: Path) -> bool:
    """Return whether a source that is no path here can be a dataset: `owner/name`, or `name`."""
    known = path.suffix in {".jsonl", ".parquet", ".txt", ".json", ".csv", ".tsv", ".gz"}
    return not path.exists() and not known and not path.is_absolute() and len(path.parts) <= 2


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file; line ends after the last text are not lines."""
    lines = text_lines(path.read_bytes(), path)
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def _read_json_lines(path: Path, column: str) -> tuple[list[Any], list[Any]]:
    """Return the query and the answer in each line's object; a blank line is refused, not skipped.

    Where the query itself is in the field of the answer, no row brings one.
    """
    example = json.dumps({column: "..."})
    queries, answers = [], []
    for number, line in enumerate(_read_lines(path), start=1):
        place = f"{path}, line {number}"
        row = parse_json_line(line, place, example)
        _require_column(column, list(row), place)
        queries.append(row[column])
        answers.append(None if column == ANSWER else row.get(ANSWER))
    return queries, answers


def _read_parquet(path: Path, column: str) -> list[Any]:
    """Return one column of a Parquet file."""
    require_extra("datasets", "pyarrow")
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            _require_column(column, file.schema_arrow.names, str(path))
            rows: list[Any] = file.read(columns=[column]).column(0).to_pylist()
    except ArrowException as error:
        raise ValueError(f"{path} cannot be read as Parquet ({error}); write it again") from error
    return rows


def _read_dataset(source: str, column: str, split: str) -> list[Any]:
    """Return one column of a dataset on the hub, in a folder of data files, or in a saved one."""
    require_extra("datasets", "datasets")
    import datasets

    try:
        if any(Path(source, name).is_file() for name in _SAVED_DATASET):
            found = datasets.load_from_disk(source)
            rows = found[split] if isinstance(found, datasets.DatasetDict) else found
        else:
            rows = datasets.load_dataset(source, split=split)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{source!r} cannot be read as a dataset with a split {split!r} ({reason}); expected a "
            "file, a folder of data files, or a name on the hub"
        ) from error
    _require_column(column, rows.column_names, source)
    return list(rows[column])


def _require_column(column: str, present: Sequence[str], place: str) -> None:
    """Raise ValueError unless a column is among those present."""
    if column not in present:
        raise ValueError(
            f"{place} has no {column!r}, but {', '.join(map(repr, present)) or 'nothing'}; pass "
            "column= with the name of the one that holds the queries"
        )
