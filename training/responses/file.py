"""Files of responses: written as they come, and never twice.

One JSON object a line, `{"query", "response", "finished"}`, each batch on the disk before the next
is begun, so that a run that was stopped goes on where it was; beside `NAME.jsonl`,
`NAME.model.json` says which model wrote it, and how it was asked. The files of a run's shards (see
`shards`) are one run: what stands in any of them is answered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import storing
from llm2vec_gen_rag.training.responses.shards import run_files


@dataclass(frozen=True)
class Response:
    """A query, what the LLM answers, and whether the answer came to its end by itself."""

    query: str
    response: str
    finished: bool


def open_responses(path: Path, origin: dict[str, Any]) -> set[str]:
    """Make a file ready to be appended to, and return the queries that its run has answered.

    Args:
        path: the file, of a whole run or of one shard.
        origin: what decides the responses: the model, and how it is asked.

    Raises:
        ValueError: if a file of the run was written by another model or with other settings, or
            is damaged.
        StorageError: if the file cannot be written.
    """
    files = run_files(path)
    for file in files:
        _require_same_origin(file, origin)
    answered = {response.query for file in files for response in read_responses(file)}
    with _storing(path):
        _claim(path, origin)
        _drop_unfinished_line(path)
    return answered


def append_responses(path: Path, responses: Sequence[Response]) -> None:
    """Append responses and wait until they are on the disk.

    Raises:
        StorageError: if they cannot be written; the file is as it was before.
    """
    lines = "".join(json.dumps(asdict(response)) + "\n" for response in responses).encode("ascii")
    with _storing(path), path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            _write_all(file.fileno(), lines)
        except OSError:
            file.truncate(end)
            raise


def read_responses(path: str | Path) -> list[Response]:
    """Return the responses of a file in its order; a half-written last line is not one.

    Raises:
        ValueError: if there is no such file or a line of it is not a response; the line is named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no response file {path}; write it with write_responses")
    whole_lines = path.read_bytes().rpartition(b"\n")[0]
    return [
        _parse(line, f"{path}, line {number}")
        for number, line in enumerate(whole_lines.split(b"\n"), start=1)
        if whole_lines
    ]


def read_run(path: str | Path) -> list[Response]:
    """Return the responses of a run: of its file, and of the files of its shards.

    Args:
        path: the run's file, as without shards; it need not exist where there are shards.

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
    found: dict[str, Response] = {}
    for file in files:
        for response in read_responses(file):
            found.setdefault(response.query, response)
    return list(found.values())


def read_answers(path: str | Path, queries: Sequence[str]) -> list[str]:
    """Return a run's response to each query, in the order of the queries.

    Args:
        path: as `read_run`.
        queries: the queries.

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
    except ValueError as error:
        raise ValueError(
            f"{record} is damaged ({error}), so that nothing says which model wrote {path.name}; "
            "move the responses away or choose another path"
        ) from error
    return dict(origin)


def _claim(path: Path, origin: dict[str, Any]) -> None:
    """Create the file, and beside it the record of where its responses come from."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _record(path).open("wb", buffering=0) as file:
        _write_all(file.fileno(), (json.dumps(origin, indent=2) + "\n").encode("ascii"))
    path.touch()


def _record(path: Path) -> Path:
    """Return the file that says where the responses of a file come from."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".model.json")


def _require_same_origin(path: Path, origin: dict[str, Any]) -> None:
    """Raise ValueError if the responses of a file come from elsewhere."""
    found = read_origin(path)
    # a folder may have been moved: where the weights are known, they say which model it is
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


def _parse(line: bytes, place: str) -> Response:
    """Read one line of a response file."""
    try:
        response = Response(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{place} is not a response ({error}); mend or delete the line, and run again"
        ) from error
    if not isinstance(response.query, str) or not isinstance(response.response, str):
        raise ValueError(f"{place}: query and response must be texts; mend or delete the line")
    return response


def _write_all(descriptor: int, content: bytes) -> None:
    """Write the content, to its end, onto the disk; a disk that fills up takes only a part."""
    while content:
        content = content[os.write(descriptor, content) :]
    os.fsync(descriptor)


def _storing(path: Path) -> AbstractContextManager[None]:
    """Say of an error of the disk which responses it concerns, and what to do."""
    return storing(f"the file of responses {path}", "those written before are kept")
