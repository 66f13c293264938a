"""Vectors on disk, so that no text is embedded twice: a table of SQLite that processes share.

A cache saves time and must not change a result. Every row carries a digest of its key and its
vector, and one that does not agree is as good as none. A file that cannot be read or written is
said once in the log; the vectors are computed then, as without a cache.

SQLite is in the standard library, its write-ahead log lets processes read while one writes, and
rows are plain bytes. (`diskcache`, the usual package for this, keeps objects as pickles, which run
code when they are read.)
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.arguments import file_path
from llm2vec_gen_rag.backbone.forks import ForkSafeLock

Vector = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)

_APPLICATION_ID = 0x4C325647  # "L2VG" in the file's header: no other program's database
_KEYS_AT_ONCE = 500  # SQLite takes 999 at least
_SECONDS_TO_WAIT = 10.0  # for another process that writes, which takes milliseconds
_FLOATS = np.dtype("<f4")  # whichever machine writes

# connections of a parent process: to close one in a forked child would harm the parent's
_of_parents: list[sqlite3.Connection] = []


class VectorCache:
    """Vectors by key, in a file; safe with several threads and processes.

    It grows with every new text and forgets nothing: delete the file to start anew.

    Attributes:
        path: the file. Beside it, SQLite keeps files that end in -wal and -shm while it is open.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Name the file, which is opened, or made, when it is first used.

        Args:
            path: the file; a leading ~ is the home folder.

        Raises:
            ValueError: if it is no path, empty, or a folder.
        """
        self.path = file_path("the cache", path, "the path of a file, such as 'vectors.sqlite'")
        if self.path.is_dir():
            raise ValueError(
                f"the cache is {str(self.path)!r}, which is a folder; expected a file, such as "
                f"{str(self.path / 'vectors.sqlite')!r}"
            )
        self._lock = ForkSafeLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._said = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Look vectors up.

        Args:
            keys: what `put` was called with.

        Returns:
            float32 (dimension,) by key, of those that are there and whole.
        """
        found: dict[bytes, Vector] = {}
        with self._lock, self._said_once("read"):
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                marks = ", ".join("?" * len(some))
                rows = self._connection().execute(
                    f"SELECT key, vector, digest FROM vectors WHERE key IN ({marks})", some
                )
                for key, vector, digest in rows:
                    if isinstance(vector, bytes) and _digest(key, vector) == digest:
                        found[key] = np.frombuffer(vector, _FLOATS).astype(np.float32)
        return found

    def put(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors, in place of those that were kept under the same keys.

        Args:
            vectors: float32 (dimension,) by key.
        """
        if not vectors:
            return
        stored = {key: vector.astype(_FLOATS).tobytes() for key, vector in vectors.items()}
        rows = [(key, vector, _digest(key, vector)) for key, vector in stored.items()]
        with self._lock, self._said_once("written"), self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def __reduce__(self) -> tuple[type[VectorCache], tuple[Path]]:
        """Pickle the path: another process opens the same file."""
        return type(self), (self.path,)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def _connection(self) -> sqlite3.Connection:
        """Return this process's connection, opened at its first use."""
        if self._opened is not None and self._opened[0] != os.getpid():
            _of_parents.append(self._opened[1])
            self._opened = None
        if self._opened is None:
            self._opened = os.getpid(), _connected(self.path)
        return self._opened[1]

    @contextmanager
    def _said_once(self, done: str) -> Iterator[None]:
        """Log the first failure of this cache, and let every failure pass: the cache is a means."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if not self._said:
                self._said = True
                logger.warning(
                    "the cache of vectors %s cannot be %s (%s); expected a file that this package "
                    "made and may write. Texts that it does not give are embedded, with the same "
                    "result. Delete it if it is damaged, or fix its permissions.",
                    *(self.path, done, error),
                )


def _connected(path: Path) -> sqlite3.Connection:
    """Open the file, or make it; one that may not be written is opened to read what it holds."""
    if path.exists() and not all(os.access(place, os.W_OK) for place in (path, path.parent)):
        # immutable: the log's own files beside it could not be made
        return _connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1")
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(f"{path.resolve().as_uri()}?mode=rwc")
    try:
        _set_up(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    # several threads use it, under the cache's lock
    return sqlite3.connect(uri, uri=True, timeout=_SECONDS_TO_WAIT, check_same_thread=False)


def _set_up(connection: sqlite3.Connection) -> None:
    """Make the table in an empty file, and let processes read while one writes."""
    connection.execute("PRAGMA synchronous = NORMAL")  # a crash loses the last rows, no others
    if not _is_ours(connection):
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # processes that start together make one table
            if not _is_ours(connection):
                connection.execute(
                    "CREATE TABLE vectors "
                    "(key BLOB PRIMARY KEY, vector BLOB NOT NULL, digest BLOB NOT NULL)"
                )
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Return whether the table is there; raise an error if another program's are."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if application_id != _APPLICATION_ID and (tables or application_id):
        raise sqlite3.DatabaseError("it is a database of another program")
    return bool(tables)


def _digest(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=16).digest()
