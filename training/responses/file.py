"""Files of responses: appended to batch by batch, no query twice.

`NAME.jsonl` holds one JSON object a line, a `Response`. Each batch is on the disk before the next
begins, so that a stopped run resumes. `NAME.model.json` says which model wrote the responses and
how it was asked. The files of all shards (see `shards`) are one run: a query in any of them is
answered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import replacing, storing
from llm2vec_gen_rag.training.responses.response import Response, parse_response
from llm2vec_gen_rag.training.responses.shards import run_files


def open_responses(path: Path, origin: dict[str, Any]) -> dict[str, Response]:
    """Make a file ready to be appended to, and return what its run has answered.

    Args:
        path: the file, of a whole run or of one shard.
        origin: what decides the responses: the model, and how it is asked.

    Returns:
        The response to each query in any file of the run.

    Raises:
        ValueError: if a file of the run was written by another model or with other settings, or
            is damaged.
        StorageError: if the file cannot be written.
    """
    files = run_files(path)
    for file in files:
        _require_same_origin(file, origin)
    answered = _by_query(files)
    with _storing(path):
        _claim(path, origin)
        _drop_unfinished_line(path)
    return answered


def append_responses(path: Path, responses: Sequence[Response]) -> None:
    """Append responses and wait until they are on the disk.

    Args:
        path: a file that `open_responses` made ready.
        responses: the responses.

    Raises:
        StorageError: if they cannot be written; the file is as it was before.
    """
    lines = b"".join(response.as_line() for response in responses)
    with _storing(path):
        _append(path, lines)


def read_responses(path: str | Path) -> list[Response]:
    """Return the responses of a file.

    Args:
        path: the file.

    Returns:
        The responses in the file's order; a half-written last line is skipped.

    Raises:
        ValueError: if there is no such file, or a line is not a response; the error says which.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no response file {path}; write it with write_responses")
    whole_lines = path.read_bytes().rpartition(b"\n")[0]
    return [
        parse_response(line, f"{path}, line {number}")
        for number, line in enumerate(whole_lines.split(b"\n"), start=1)
        if whole_lines
    ]


def read_run(path: str | Path) -> list[Response]:
    """Return the responses of a run: of its file, and of the files of its shards.

    Args:
        path: the run's file, as without shards; it need not exist where there are shards.

    Returns:
        One response per query.

    Raises:
        ValueError: if the run has no file, a line is not a response, or the files were written by
            different models or with different settings.
    """
    files = run_files(path)
    if not files:
        raise ValueError(
            f"there is no response file {path}, nor one of its shards; write it with "
            "write_responses"
        )
    if len(files) > 1:
        origin = read_origin(files[0])
        for file in files[1:]:
            _require_same_origin(file, origin)
    return list(_by_query(files).values())


def read_answers(path: str | Path, queries: Sequence[str]) -> list[str]:
    """Return a run's response to each query, in the order of the queries.

    Args:
        path: as `read_run`.
        queries: the queries.

    Returns:
        The text of each response.

    Raises:
        ValueError: as `read_run`, and if a query has no response.
    """
    found = {response.query: response.response for response in read_run(path)}
    missing = [query for query in queries if query not in found]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(queries)} queries have no response in {path} or its shards, "
            f"such as {missing[0][:80]!r}; write them first, every shard of them"
        )
    return [found[query] for query in queries]


def read_origin(path: Path) -> dict[str, Any]:
    """Return what decided the responses of a file: the model, and how it was asked.

    Args:
        path: the file of responses.

    Returns:
        The record beside it, by name.

    Raises:
        ValueError: if the record beside the file is missing or damaged.
    """
    record = _record(path)
    if not record.is_file():
        raise ValueError(
            f"{path} exists, but not {record.name}, which says which model wrote it; move the "
            "responses away or choose another path"
        )
    try:
        origin = json.loads(record.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{record} is damaged ({error}); expected it to say which model wrote {path.name}. "
            "Move the responses away or choose another path."
        ) from error
    return dict(origin)


def _by_query(files: Sequence[Path]) -> dict[str, Response]:
    """Return the first response to each query in files."""
    found: dict[str, Response] = {}
    for file in files:
        for response in read_responses(file):
            found.setdefault(response.query, response)
    return found


def _claim(path: Path, origin: dict[str, Any]) -> None:
    """Create the file, and beside it the record of where its responses come from."""
    if path.exists():
        return
    with replacing(_record(path)) as partial, partial.open("wb", buffering=0) as file:
        _write_all(file.fileno(), (json.dumps(origin, indent=2) + "\n").encode("ascii"))
    path.touch()


def _record(path: Path) -> Path:
    """Return the file that says where the responses of a file come from."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".model.json")


def _require_same_origin(path: Path, origin: dict[str, Any]) -> None:
    """Raise ValueError if the responses of a file come from elsewhere."""
    found = read_origin(path)
    # a folder may have been moved: known weights say which model it is
    names = {"model"} if "weights" in origin else set()
    for key in sorted((origin.keys() | found.keys()) - names):
        if found.get(key) != origin.get(key):
            raise ValueError(
                f"{path} was written by {found.get('model')} with {key} {found.get(key)!r}; this "
                f"run is of {origin.get('model')} with {origin.get(key)!r}. Delete the file or "
                "choose another path."
            )


def _drop_unfinished_line(path: Path) -> None:
    """Cut off what a stopped run left of its last line."""
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _append(path: Path, content: bytes) -> None:
    """Append all of the content, or leave the file as it was and raise OSError."""
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            _write_all(file.fileno(), content)
        except OSError:
            file.truncate(end)
            raise


def _write_all(descriptor: int, content: bytes) -> None:
    """Write all of the content and wait until it is on the disk; one write may take only a part."""
    while content:
        content = content[os.write(descriptor, content) :]
    os.fsync(descriptor)


def _storing(path: Path) -> AbstractContextManager[None]:
    """Return a context in which an error of the disk says which responses cannot be written."""
    return storing(f"the file of responses {path}", "those written before are kept")
