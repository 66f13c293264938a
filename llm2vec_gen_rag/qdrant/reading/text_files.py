"""Files of texts, read as documents.

What is read, by the suffix of a file's name:

- `.txt`, `.md`: UTF-8, cut into passages as `passages` says.
- `.rst`: the same, and each passage has its section's title as `heading` in its metadata.
- `.csv`: UTF-8, one passage a row, or more of a long one, with its `row`.
- `.pdf`, by `page`; `.html` and `.docx`, by `heading`: converted as `converted` says.
- `.jsonl`: one JSON object a line, `{"text", "id", "metadata"}`, of which only the text is needed;
  or BEIR's `{"_id", "title", "text"}`, where the title is put before the text. All other fields
  are metadata. In a folder, a file whose first line is valid JSON without a text holds something
  else than documents, such as logs or figures, and is left out. In a file that is named itself, a
  line that `DocumentCollection.export` wrote says who holds its document.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from llm2vec_gen_rag.files import read_json_line
from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.points.payload import STAMP_KEY
from llm2vec_gen_rag.qdrant.reading.converted import (
    CONVERTED,
    ConversionError,
    converted_sections,
)
from llm2vec_gen_rag.qdrant.reading.exported import ExportedDocument, with_holders
from llm2vec_gen_rag.qdrant.reading.found_files import JSON_LINES, reason
from llm2vec_gen_rag.qdrant.reading.passages import PASSAGE_CHARACTERS, passages
from llm2vec_gen_rag.qdrant.reading.sections import Section, csv_sections, rst_sections

_ID_KEYS = ("id", "_id")
_NO_METADATA = ("text", "metadata", STAMP_KEY, *_ID_KEYS)


@dataclass(frozen=True)
class LeftOut:
    """A file, or a line of one, that is not indexed.

    Attributes:
        path: the file, or a folder that cannot be listed.
        reason: why, as a clause such as "it is not UTF-8 text".
        line: the line, if the others of the file are indexed.
    """

    path: Path
    reason: str
    line: int | None = None


Report: TypeAlias = Callable[[LeftOut], object]


def read_documents(
    files: Sequence[Path],
    root: Path,
    passage_characters: int = PASSAGE_CHARACTERS,
    leave_out: Report | None = None,
) -> Iterator[tuple[Path, Document]]:
    """Yield the documents of the files, one file in memory at a time, `.jsonl` line by line.

    Args:
        files: as `find_files` gives them.
        root: the folder that names of files are relative to.
        passage_characters: the longest passage.
        leave_out: called with what cannot be read, and reading goes on; None raises instead.

    Yields:
        Each document and its file, in the order of the files. The id of a passage is its file's
        name and its number, as `deep/trip.md#3`, and its metadata
        `{"file": "deep/trip.md", "passage": 3}`. A line of `.jsonl` keeps its own id; without one,
        its text and its metadata serve as the id.

    Raises:
        ValueError: if a line of a `.jsonl` file is not a document, or a file has an id twice; the
            message says which line.
        ConversionError: if a file cannot be converted, or has no text.
        OSError: if a file cannot be read.
        UnicodeDecodeError: if a text has changed since it was found.
    """
    for file in files:
        is_json_lines = file.suffix.lower() == JSON_LINES
        documents = (
            _json_lines(file, leave_out)
            if is_json_lines
            else _passages(file, relative_name(file, root), passage_characters)
        )
        try:
            for document in documents:
                yield file, document
        except (OSError, UnicodeDecodeError) as error:  # it was UTF-8 when it was found
            if leave_out is None:
                raise
            leave_out(LeftOut(file, reason(error)))
        except ConversionError as error:
            if leave_out is None:
                raise ConversionError(f"{file} is left out, as {error}.") from error
            leave_out(LeftOut(file, str(error)))


def full_path(path: Path) -> str:
    """Return the absolute path, which identifies a file; links are not resolved."""
    return Path(os.path.abspath(path)).as_posix()  # Path.absolute keeps ".."


def relative_name(file: Path, root: Path) -> str:
    """Return a file's path below a folder, as a person types it there."""
    return Path(full_path(file)).relative_to(full_path(root)).as_posix()


def _passages(file: Path, name: str, most: int) -> Iterator[Document]:
    cut = ((s, passage) for s in _sections(file) for passage in passages(s.text, most))
    for number, (section, passage) in enumerate(cut, start=1):
        metadata = {"file": name, "passage": number, **section.metadata}
        yield Document(passage, id=f"{name}#{number}", metadata=metadata)


def _sections(file: Path) -> list[Section]:
    """Return the sections of a file; one of plain text and Markdown is a single one."""
    suffix = file.suffix.lower()
    if suffix in CONVERTED:
        return converted_sections(file)
    text = file.read_bytes().decode("utf-8-sig")
    if suffix == ".rst":
        return rst_sections(text)
    if suffix == ".csv":
        try:
            return csv_sections(text)
        except csv.Error as error:
            raise ConversionError(f"it is no table ({error})") from error
    return [Section(text)]


def _json_lines(file: Path, leave_out: Report | None) -> Iterator[Document]:
    """Yield the documents of a `.jsonl` file, without the lines that hold none."""
    seen: dict[str, int] = {}  # the line of each id
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                place = f"{file}, line {number}"
                document = _line_document(line, place, number, seen, is_named=leave_out is None)
            except ValueError as error:
                if leave_out is None:
                    raise
                leave_out(LeftOut(file, str(error), number))
            else:
                yield document


def _line_document(
    line: bytes, place: str, number: int, seen: dict[str, int], *, is_named: bool
) -> Document:
    """Return the document of a line whose id the file, or its own source, does not have yet."""
    try:
        row = read_json_line(line, place, "text")
        document = with_holders(_document(row), row) if is_named else _document(row)
    except RecursionError as error:
        raise ValueError(f"{place} is nested too deeply; expected a few levels.") from error
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(place) else f"{place}: {message}") from error
    if isinstance(document, ExportedDocument):  # other sources may have the id, too
        return document
    if document.id is not None and seen.setdefault(document.id, number) != number:
        raise ValueError(
            f"{place} has the id {document.id!r}, and so has line {seen[document.id]}; expected "
            "ids that occur once in a file. Change one of the two."
        )
    return document


def _document(row: dict[str, Any]) -> Document:
    """Return the document of one JSON object that has a text."""
    own = row.get("metadata", {})
    if not isinstance(own, dict):
        raise ValueError(f'"metadata" is {own!r:.80}; expected an object of names and values')
    rest = {name: row[name] for name in row if name not in _NO_METADATA}
    title = row.get("title")
    text = f"{title} {row['text']}" if isinstance(title, str) and title else row["text"]
    found = [row[key] for key in _ID_KEYS if row.get(key) is not None]
    return Document(text, id=str(found[0]) if found else None, metadata={**rest, **own})
