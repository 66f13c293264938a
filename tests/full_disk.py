"""A full disk, as a limit on the size of a file: what is written beyond it fails."""

from __future__ import annotations

import resource
from contextlib import contextmanager


@contextmanager
def no_file_above(size):
    """Let every write beyond this size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
