"""Whether the files of a folder are still those that its client opened.

A file that is deleted or replaced while it is open takes all that is written, and keeps none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.damage import meta_file


class _OpenFile:
    """A file as it was when its opener was first seen, and SQLite's log of writes beside it.

    Args:
        path: The file, which stays the same when the process changes its directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._log = self.path.with_name(f"{path.name}-wal")
        self._seen: dict[Path, os.stat_result] = {}

    def lost(self) -> Path | None:
        """Return the first of the two that is gone or another file; None if both are in place."""
        for path in (self.path, self._log):
            now = _status(path)
            if path not in self._seen and now is not None:
                self._seen[path] = now
            known = self._seen.get(path)
            is_same = known and now and os.path.samestat(known, now)
            if not is_same and (known or path == self.path):
                return path
        return None


_open_files: WeakKeyDictionary[object, _OpenFile] = WeakKeyDictionary()  # by what opened them


def require_in_place(client: QdrantClient) -> None:
    """Close a client and raise if a file of its folder is not the one that it opened.

    Args:
        client: A client in local mode; others have no files. A file that it opened since the last
            call is remembered.

    Raises:
        CollectionError: A file is gone, or another one is in its place.
    """
    local = client._client  # there is no public way to what it has open
    if not isinstance(local, QdrantLocal) or not local.persistent:
        return
    lost = next(_lost_files(local), None)
    if lost is not None:
        client.close()
        raise CollectionError(
            f"{lost} was deleted or replaced while its collection was open, so nothing more is "
            "kept there, and the collection was closed; expected the file that was opened. Restore "
            "the folder, or open the collection and index your documents again."
        )


def _lost_files(local: QdrantLocal) -> Iterator[Path]:
    lock = local._flock_file
    if lock is not None and not lock.closed:
        path = _known(lock, Path(local.location) / ".lock").path
        now = _status(path)
        if now is None or not os.path.samestat(os.fstat(lock.fileno()), now):
            yield path
        if _status(meta := meta_file(path.parent)) is None:  # each change of it is a new file
            yield meta
    for collection in local.collections.values():
        storage = collection.storage
        if storage is not None and (lost := _known(storage, storage.location).lost()):
            yield lost


def _known(opener: object, path: Path) -> _OpenFile:
    if opener not in _open_files:
        _open_files[opener] = _OpenFile(path)
    return _open_files[opener]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
