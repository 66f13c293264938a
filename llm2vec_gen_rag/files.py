"""Files: read as plain data, written whole or not at all, and errors of the disk in words."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llm2vec_gen_rag.errors import CheckpointError, StorageError


def require_file(path: Path) -> Path:
    """Return the path of a file that a checkpoint must have; raise `CheckpointError` without it."""
    if path.is_file():
        return path
    raise CheckpointError(
        f"{path} is missing. A checkpoint in the published format has run_config.yml, the "
        "tokenizer files, encoder/config.json, encoder/adapter_config.json, "
        "encoder/adapter_model.safetensors, reconstruction_mlp and alignment_mlp. Download or "
        "save it again, or check that the path names the checkpoint's own folder."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a checkpoint.

    Args:
        path: the file.

    Returns:
        Its values by name.

    Raises:
        CheckpointError: if the file is missing, half-written, not a JSON object, or too deep.
    """
    try:
        content = json.loads(require_file(path).read_bytes())
    except (ValueError, RecursionError) as error:  # the latter if it is nested too deeply
        raise CheckpointError(unreadable(path, "JSON", error)) from error
    return require_mapping(path, content)


def require_mapping(path: Path, content: object) -> dict[str, Any]:
    """Return what a file of a checkpoint holds; raise `CheckpointError` unless it is a mapping."""
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a mapping of names to values. "
            "Download or save the checkpoint again."
        )
    return content


def unreadable(path: Path, language: str, error: Exception) -> str:
    """Return the error for a file of a checkpoint that is not in its language, such as JSON."""
    return (
        f"{path} is not readable as {language} ({error}); it may be half-written. "
        "Download or save the checkpoint again."
    )


def read_json_lines(path: Path, *fields: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a JSON Lines file, one line in memory at a time; skip blank lines.

    Args:
        path: one JSON object a line, UTF-8.
        *fields: what each object must have, as strings.

    Yields:
        Where an object is, such as "queries.jsonl, line 3", and its values by name.

    Raises:
        ValueError: if a line is not JSON, not an object, or lacks a field.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                place = f"{path}, line {number}"
                yield place, read_json_line(line, place, *fields)


def read_json_line(line: str | bytes, place: str, *fields: str) -> dict[str, Any]:
    """Return the object in one line of a JSON Lines file.

    Args:
        line: the line.
        place: where it is, for the error.
        *fields: what the object must have, as strings.

    Returns:
        Its values by name.

    Raises:
        ValueError: if the line is not JSON, not an object, or lacks a field.
    """
    example = json.dumps(dict.fromkeys(fields, "..."))
    row = parse_json_line(line, place, example)
    for field in fields:
        if not isinstance(row.get(field), str):
            found = f"{row[field]!r:.80} for" if field in row else "no"
            raise ValueError(
                f'{place} has {found} "{field}"; expected a string, as in {example}. Fix '
                "or delete the line."
            )
    return row


def parse_json_line(line: str | bytes, place: str, example: str) -> dict[str, Any]:
    """Return the object in one line of a JSON Lines file.

    Args:
        line: the line.
        place: where it is, for the error.
        example: an object like those expected, for the error.

    Returns:
        Its values by name.

    Raises:
        ValueError: if the line is not JSON, or not an object.
    """
    expected = f"expected a JSON object such as {example}. Fix or delete the line."
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON ({error}); {expected}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {row!r:.80}; {expected}")
    return row


def text_lines(content: bytes, source: str | Path) -> list[str]:
    """Return the lines of a UTF-8 text, empty ones too.

    Args:
        content: the text; a byte order mark at its beginning is dropped.
        source: where it is from, for the error.

    Returns:
        The lines, without their ends, which are a line feed with or without a carriage return.

    Raises:
        ValueError: if it is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{source} is not UTF-8 at byte {error.start}; expected one text a line. Convert it "
            "with its own encoding first, for example with iconv."
        ) from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which then replaces `path`: whole, or not at all.

    Where `path` is a link, the file that it leads to is replaced.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to, whose files then replace those of `folder`: all, or none.

    Other files in `folder` stay. Once all are written, they are renamed one after another, which
    takes no space.

    Args:
        folder: made if it does not exist.

    Yields:
        A folder inside it, gone after the block.

    Raises:
        IsADirectoryError: if a folder is where a file is to go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        yield partial
        written = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        targets = [folder / path.relative_to(partial) for path in written]
        for target in targets:  # before the first is replaced
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "Is a directory", str(target))
        for path, target in zip(written, targets, strict=True):
            os.replace(path, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def storing(what: str, kept: str, *others: type[Exception]) -> Iterator[None]:
    """Turn an error of the disk into one that says what cannot be written and what to do.

    Args:
        what: what the block writes, with its path.
        kept: what is not lost, as a clause.
        *others: what a writer raises when the disk fails, beside OSError and safetensors' own. A
            StorageError of a block inside passes, unless it is among these.

    Yields:
        Nothing.

    Raises:
        StorageError: instead of what the block raises.
    """
    failures: tuple[type[Exception], ...] = (OSError, SafetensorError, *others)
    try:
        yield
    except failures as error:
        cause = (isinstance(error, StorageError) and error.__cause__) or error
        reason = getattr(cause, "strerror", None) or cause
        raise StorageError(
            f"{what} cannot be written ({reason}); {kept}. Free disk space, fix the folder's "
            "permissions or choose another folder, then rerun the same command."
        ) from error
