"""Files that a folder's run passes over though they are there: what they gave stays.

A hidden file or folder, and one behind a link, is indexed when it is named itself, or when links
are followed. A later run of the folder around it does not read it, and so has nothing to put in
place of what it gave.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path


class PassedOver:
    """Tells the files that a run passes over, and remembers the points of theirs that it kept.

    Args:
        where: The absolute path of the folder or file that is read.
        links: The absolute paths of the links that are not followed.

    Attributes:
        points: Those that were kept for such a file.
    """

    def __init__(self, where: str, links: Container[str]) -> None:
        self._where = where
        self._links = links
        self.points: set[str] = set()

    def keeps(self, file: str, point: str) -> bool:
        """Return whether a point is that of a file that is passed over, and remember it."""
        is_kept = self._passes_over(file)
        if is_kept:
            self.points.add(point)
        return is_kept

    def _passes_over(self, file: str) -> bool:
        below = [path for path in with_folders(file) if len(path) > len(self._where)]
        if any(os.path.islink(path) and not os.path.exists(path) for path in below):
            return True  # to a drive that is not mounted, for one
        unseen = any(
            os.path.basename(path).startswith(".") or path in self._links for path in below
        )
        return unseen and not _is_gone(file)


def with_folders(path: str) -> Iterator[str]:
    """Yield a path and all the folders that it is in."""
    yield path
    yield from (parent.as_posix() for parent in Path(path).parents)


def _is_gone(file: str) -> bool:
    """Return whether a file is not there; one that may not be looked at may be."""
    try:
        os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
