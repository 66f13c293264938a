"""A folder or a file of texts, read as documents.

What is read, by the suffix of a file's name:

- `.txt`, `.md`: UTF-8. A text is cut into passages, as an embedding stands for one idea: it is
  first cut at blank lines and before Markdown headings; then neighbours are joined again while
  they fit into `passage_characters`. A heading begins a passage, with the headings right above it,
  and a paragraph that is too long is cut at spaces. A passage is an unchanged piece of the text.
- `.jsonl`: one JSON object a line, `{"text", "id", "metadata"}`, of which only the text is needed;
  or BEIR's `{"_id", "title", "text"}`, where the title is put before the text. All other fields
  are metadata. In a folder, a file whose first line is valid JSON without a text holds something
  else than documents, such as logs or figures, and is left out.

Names that begin with a dot are skipped, and so are links to folders.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.files import read_json_lines
from llm2vec_gen_rag.qdrant import Document

PASSAGE_CHARACTERS = 1000  # some 250 tokens of English, half of what a model reads
PLAIN, JSON_LINES = (".txt", ".md"), ".jsonl"

_BLOCK_END = re.compile(r"\r?\n[ \t]*\r?\n\s*|\r?\n(?=#{1,6} )")
_HEADING = re.compile(r"#{1,6} ")
_ONLY_HEADINGS = re.compile(r"(?:#{1,6} [^\n]*\n\s*)*#{1,6} [^\n]*")
_WORD = re.compile(r"\S")
_ID_KEYS = ("id", "_id")


@dataclass(frozen=True)
class FoundFiles:
    """What there is to read under a path.

    Attributes:
        files: what will be read, in the order of names.
        unreadable: files of a kind that is read which are left out, and why each of them is.
        others: how many files are of kinds that are not read.
    """

    files: tuple[Path, ...]
    unreadable: dict[Path, str]
    others: int


def find_files(path: Path) -> FoundFiles:
    """Return what there is to read: the file itself, or what a folder and its folders hold.

    Args:
        path: a file or a folder.

    Returns:
        The files to read and those left out, in the order of names.

    Raises:
        ValueError: if there is nothing at the path, or it is a file that cannot be read as text.
    """
    if path.is_file():
        return _single_file(path)
    if not path.is_dir():
        raise ValueError(f"there is no {path}; expected a folder or a file. Check the path.")
    present = list(_walk(path))
    known = [file for file in present if file.suffix.lower() in (*PLAIN, JSON_LINES)]
    unreadable = {file: reason for file in known if (reason := _why_left_out(file))}
    files = tuple(file for file in known if file not in unreadable)
    return FoundFiles(files, unreadable, others=len(present) - len(known))


def read_documents(
    files: Sequence[Path], passage_characters: int = PASSAGE_CHARACTERS
) -> Iterator[Document]:
    """Yield the documents of the files, one file in memory at a time, `.jsonl` line by line.

    Args:
        files: as `find_files` gives them.
        passage_characters: the longest passage.

    Yields:
        Documents in the order of the files. The id of a passage is its file's full path and its
        number, as `/home/me/notes/trip.md#3`, and its metadata `{"file": ..., "passage": 3}`. A
        line of `.jsonl` keeps its own id; without one, its text serves as the id.

    Raises:
        ValueError: if a line of a `.jsonl` file is not a document, or an id occurs twice; the
            message says which line.
    """
    ids: dict[str, str] = {}
    for file in files:
        if file.suffix.lower() == JSON_LINES:
            yield from _json_lines(file, ids)
            continue
        name = full_path(file)
        text = file.read_bytes().decode("utf-8-sig")
        for number, passage in enumerate(passages(text, passage_characters), start=1):
            yield Document(
                passage, id=f"{name}#{number}", metadata={"file": name, "passage": number}
            )


def passages(text: str, most: int = PASSAGE_CHARACTERS) -> list[str]:
    """Cut a text into passages of at most `most` characters; the module says where."""
    cut: list[str] = []
    start = end = 0
    for block_start, block_end in _blocks(text, most):
        begins_anew = _HEADING.match(text, block_start) or block_end - start > most
        if begins_anew and end:
            cut.append(text[start:end])
        if begins_anew or not end:
            start = block_start
        end = block_end
    return [*cut, text[start:end]] if end else cut


def full_path(path: Path) -> str:
    """Return the absolute path, which identifies a document's file; links are not resolved."""
    return Path(os.path.abspath(path)).as_posix()  # Path.absolute keeps ".."


def _single_file(path: Path) -> FoundFiles:
    if path.suffix.lower() not in (*PLAIN, JSON_LINES):
        raise ValueError(
            f"{path} is not of a kind that is read; expected a name that ends in "
            f"{', '.join(PLAIN)} or {JSON_LINES}. Convert it to text first."
        )
    if path.suffix.lower() in PLAIN and not _is_utf8(path):
        raise ValueError(
            f"{path} is not UTF-8 text; expected text. Convert it with its own encoding first, for "
            "example with iconv."
        )
    return FoundFiles((path,), {}, others=0)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, in the order of names."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _raise(error: OSError) -> None:
    """Raise what `os.walk` would ignore: documents that cannot be listed would seem deleted."""
    raise error


def _why_left_out(path: Path) -> str | None:
    """Return why a file of a folder is not read; None if it is."""
    if path.suffix.lower() == JSON_LINES:
        return None if _may_hold_documents(path) else 'its first line has no "text"'
    return None if _is_utf8(path) else "it is not UTF-8 text"


def _is_utf8(path: Path) -> bool:
    """Return whether a file is UTF-8 text without NUL."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _may_hold_documents(path: Path) -> bool:
    """Return whether the first line has a text, or is broken: then reading reports the line."""
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
    try:
        return _has_text(json.loads(first))
    except ValueError:
        return True


def _has_text(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("text"), str)


def _blocks(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each paragraph with the headings above it, long ones in parts."""
    start = 0
    for end, following in [*(m.span() for m in _BLOCK_END.finditer(text)), (len(text),) * 2]:
        if end == len(text) or not _ONLY_HEADINGS.fullmatch(text, start, end):
            yield from _parts(text, start, end, most)
            start = following


def _parts(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each part of a block, cut at the last space that fits, if any."""
    end = start + len(text[start:end].rstrip())
    while word := _WORD.search(text, start, end):
        start, part_end = word.start(), end
        if end - start > most:
            space = max(text.rfind(char, start + 1, start + most + 1) for char in " \n\t")
            part_end = space if space > 0 else start + most
        yield start, part_end
        start = part_end


def _json_lines(file: Path, ids: dict[str, str]) -> Iterator[Document]:
    """Yield the documents of a `.jsonl` file; `ids` holds the line in which each id was seen."""
    for place, row in read_json_lines(file, "text"):
        try:
            document = _document(row)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if document.id is not None and ids.setdefault(document.id, place) != place:
            raise ValueError(
                f"{place} has the id {document.id!r}, and so has {ids[document.id]}; expected "
                "ids that occur once. Change one of the two, or index the files into two "
                "collections."
            )
        yield document


def _document(row: dict[str, Any]) -> Document:
    """Return the document of one JSON object that has a text."""
    own = row.get("metadata", {})
    if not isinstance(own, dict):
        raise ValueError(f'"metadata" is {own!r:.80}; expected an object of names and values')
    rest = {name: row[name] for name in row if name not in ("text", "metadata", *_ID_KEYS)}
    title = row.get("title")
    text = f"{title} {row['text']}" if isinstance(title, str) and title else row["text"]
    found = [row[key] for key in _ID_KEYS if row.get(key) is not None]
    return Document(text, id=str(found[0]) if found else None, metadata={**rest, **own})
