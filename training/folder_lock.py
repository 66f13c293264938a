"""One writer at a time: a lock on a file or folder, which the system releases when a process ends.

Windows has no such lock on a folder, and some network drives have none at all; there, nothing is
locked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm2vec_gen_rag.errors import StorageError

if sys.platform != "win32":
    import fcntl


@contextmanager
def written_by_one(path: Path, what: str) -> Iterator[None]:
    """Hold a file or folder, which exists, inside the block.

    Args:
        path: the file or folder.
        what: who else would write to it, such as "another training run".

    Yields:
        Nothing.

    Raises:
        StorageError: if another holds it.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor, path, what)
        yield
    finally:
        os.close(descriptor)  # which releases it


def _lock(descriptor: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            f"{what} is writing to {path}; expected one at a time, as they would delete each "
            "other's files. Wait for its end, stop it, or choose another folder."
        ) from error
    except OSError:  # a drive without locks
        return
