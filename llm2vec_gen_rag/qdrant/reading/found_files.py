"""The files to read under a path, and why others are left out.

Names that begin with a dot are skipped. A link to a folder, or to a file outside the folder that is
read, is followed only if asked: a folder that somebody else filled must not choose what is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llm2vec_gen_rag.errors import MissingExtraError
from llm2vec_gen_rag.qdrant.reading.converted import CONVERTED, missing_package

PLAIN, JSON_LINES = (".txt", ".md", ".rst", ".csv"), ".jsonl"
KINDS = (*PLAIN, *CONVERTED, JSON_LINES)

_NOT_UTF8 = "it is not UTF-8 text"
_FOLLOW = "follow it with --follow-links"


@dataclass(frozen=True)
class FoundFiles:
    """What there is to read under a path.

    Attributes:
        files: what will be read, in the order of names.
        unreadable: files of a kind that is read, and folders, which are left out, and why.
        links: links that are not followed, and why.
        others: how many files are of kinds that are not read.
    """

    files: tuple[Path, ...]
    unreadable: dict[Path, str] = field(default_factory=dict)
    links: dict[Path, str] = field(default_factory=dict)
    others: int = 0


def find_files(path: Path, *, follow_links: bool = False) -> FoundFiles:
    """Return what there is to read: the file itself, or what a folder and its folders hold.

    Args:
        path: a file or a folder.
        follow_links: whether to follow links to folders and out of the folder.

    Returns:
        The files to read and those left out, in the order of names.

    Raises:
        ValueError: if there is nothing at the path, or it is a file that cannot be read as text.
    """
    if not is_utf8_name(path):
        raise ValueError(f"the name {path} is not UTF-8; expected one that is. Rename it first.")
    if path.is_file():
        return _single_file(path)
    if not path.is_dir():
        raise ValueError(f"there is no {path}; expected a folder or a file. Check the path.")
    return _Search(path, follow_links).result()


def is_utf8_name(path: Path) -> bool:
    """Return whether a path is UTF-8; the bytes of another are surrogates in its string."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _single_file(path: Path) -> FoundFiles:
    if path.suffix.lower() not in KINDS:
        raise ValueError(
            f"{path} is not of a kind that is read; expected a name that ends in "
            f"{', '.join(KINDS[:-1])} or {JSON_LINES}. Convert it to text first."
        )
    if package := missing_package(path.suffix.lower()):
        raise MissingExtraError("files", package)
    if path.suffix.lower() in PLAIN and not _is_utf8(path):
        raise ValueError(
            f"{path} is not UTF-8 text; expected text. Convert it with its own encoding first, for "
            "example with iconv."
        )
    return FoundFiles((path,))


class _Search:
    """A folder's files, found folder by folder: without recursion, however deep they are."""

    def __init__(self, folder: Path, follow_links: bool) -> None:
        self._folder = folder
        self._real_folder = os.path.realpath(folder)
        self._follow_links = follow_links
        self._visited = {self._real_folder}
        self._files: list[Path] = []
        self._unreadable: dict[Path, str] = {}
        self._links: dict[Path, str] = {}
        self._others = 0

    def result(self) -> FoundFiles:
        """Return what there is in the folder and its folders, files before folders."""
        folders = [self._folder]
        while folders:
            inner = [path for path in self._entries(folders.pop()) if self._is_folder(path)]
            folders += reversed(inner)
        return FoundFiles(tuple(self._files), self._unreadable, self._links, self._others)

    def _entries(self, folder: Path) -> Iterator[Path]:
        """Yield what is in a folder, in the order of names; leave it out if it cannot be listed."""
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            if folder == self._folder:
                raise
            self._unreadable[folder] = reason(error)
            return
        yield from (folder / name for name in names if not name.startswith("."))

    def _is_folder(self, path: Path) -> bool:
        """Return whether to look into a path; take note of any other."""
        try:
            if path.is_dir():
                return self._is_to_enter(path)
            self._note_file(path)
        except OSError as error:  # such as a name that is too long, or no permission to look
            self._unreadable[path] = reason(error)
        return False

    def _is_to_enter(self, folder: Path) -> bool:
        if not is_utf8_name(folder):
            self._unreadable[folder] = "its name is not UTF-8"
            return False
        if not folder.is_symlink():
            return not self._follow_links or self._is_new(folder)
        if not self._follow_links:
            self._links[folder] = f"it is a link to a folder: {_FOLLOW}"
            return False
        return self._is_new(folder)

    def _is_new(self, folder: Path) -> bool:
        """Return whether a folder was not entered before: links can lead in circles."""
        real = os.path.realpath(folder)
        entered = real in self._visited
        self._visited.add(real)
        return not entered

    def _note_file(self, path: Path) -> None:
        dangling = path.is_symlink() and not path.exists()
        if not dangling and not path.is_file():
            return  # a device, a socket or a pipe, which could be read for ever
        if path.suffix.lower() not in KINDS:
            self._others += 1
        elif not is_utf8_name(path):
            self._unreadable[path] = "its name is not UTF-8"
        elif dangling:
            self._unreadable[path] = "it is a link to a file that is not there"
        elif not self._follow_links and self._leads_out(path):
            self._links[path] = f"it is a link that leads out of the folder: {_FOLLOW}"
        elif left_out := _why_left_out(path):
            self._unreadable[path] = left_out
        else:
            self._files.append(path)

    def _leads_out(self, path: Path) -> bool:
        if not path.is_symlink():
            return False
        inside = self._real_folder.rstrip(os.sep) + os.sep
        return not os.path.realpath(path).startswith(inside)


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        return _NOT_UTF8
    return f"it cannot be read ({error.strerror or error})"


def _why_left_out(path: Path) -> str | None:
    """Return why a file of a folder is not read; None if it is."""
    if path.suffix.lower() == JSON_LINES:
        return None if _may_hold_documents(path) else 'its first line has no "text"'
    if path.suffix.lower() in CONVERTED:
        package = missing_package(path.suffix.lower())
        return f"it needs {package} (pip install 'llm2vec-gen-rag[files]')" if package else None
    return None if _is_utf8(path) else _NOT_UTF8


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
        row = json.loads(first)
    except (ValueError, RecursionError):
        return True
    return isinstance(row, dict) and isinstance(row.get("text"), str)
