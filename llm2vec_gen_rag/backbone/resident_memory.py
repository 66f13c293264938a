"""How much memory this process may still take, and pages of files that it need not keep (Linux)."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

MEMORY = Path("/proc/meminfo")
PAGE_TABLE = Path("/proc/self/pagemap")
_DONTNEED = 4  # madvise(2)
# bits of an entry of the page table: a page is in memory, it is swapped out, it is a file's own
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))
CONTROL_GROUPS = Path("/proc/self/cgroup")
# where version 2 of control groups keeps a limit and what is used, and where version 1 does
_FILES_2 = (Path("/sys/fs/cgroup"), "memory.max", "memory.current")
_FILES_1 = (
    Path("/sys/fs/cgroup/memory"),
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
)


def available_memory() -> int | None:
    """Return how many bytes can be taken without swapping; None where the system does not say."""
    try:
        available = _numbers(MEMORY)["MemAvailable:"] << 10
        return min([available, *_left_in_groups()])
    except (OSError, KeyError, ValueError):
        return None


def _left_in_groups() -> Iterator[int]:
    """Yield the bytes left in each control group of this process that has a limit."""
    if not CONTROL_GROUPS.is_file():
        return
    for line in CONTROL_GROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        home, limit, used = _FILES_1 if controllers else _FILES_2
        inside = home / path.lstrip("/")
        for folder in (inside, *inside.parents):  # a container sees its own group as the first
            if folder.is_relative_to(home) and (folder / limit).is_file():
                yield _left_in_group(folder, limit, used)


def _left_in_group(folder: Path, limit: str, used: str) -> int:
    """Return the bytes left in a control group; one without a limit leaves any number."""
    stated = (folder / limit).read_text(encoding="utf-8").strip()
    if stated == "max":
        return sys.maxsize
    pages = _numbers(folder / "memory.stat")
    # pages of files count as used, and are given up when memory is asked for
    of_files = pages["active_file"] + pages["inactive_file"]
    return int(stated) - int((folder / used).read_text(encoding="utf-8")) + of_files


def _numbers(file: Path) -> dict[str, int]:
    """Return the number behind each name in a file of the system."""
    lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1}


def drop_file_pages(tensor: Tensor) -> None:
    """Let the system take back the memory of a tensor that is a file's, mapped and unchanged.

    Whoever still reads the tensor finds it as it was: its pages are read again from the file, or
    from the system's cache of it. Any other tensor is left alone.
    """
    page = mmap.PAGESIZE
    start = -(-tensor.data_ptr() // page) * page
    pages = (tensor.data_ptr() + tensor.nbytes - start) // page
    if pages > 0 and _are_of_a_file(start // page, pages):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(pages * page), _DONTNEED)


def _are_of_a_file(first: int, count: int) -> bool:
    """Return whether no page of a range was changed since it was mapped from a file."""
    try:
        with PAGE_TABLE.open("rb", buffering=0) as table:
            table.seek(8 * first)
            entries = np.frombuffer(table.read(8 * count), dtype=np.uint64)
    except OSError:
        return False
    in_memory, of_file = entries & _PRESENT > 0, entries & _OF_FILE > 0
    swapped = entries & _SWAPPED > 0
    return len(entries) == count and not bool((swapped | (in_memory & ~of_file)).any())
