"""How large a matrix has to be so that the processor reads it from memory, not from its caches."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PROCESSORS = Path("/sys/devices/system/cpu")
# bytes; with less, caches that Linux does not name could hold it, with more, measuring takes long
LEAST, MOST = 2**26, 2**28
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@cache
def beyond_caches() -> int:
    """Return twice the bytes of the largest caches that Linux names, between `LEAST` and `MOST`.

    The weights of an LLM come from memory. A matrix that caches hold is read several times as fast,
    and says nothing of them. Threads on cores with caches of their own read a part each, so all
    caches of a level count together.
    """
    try:
        largest = max(_bytes_by_level().values(), default=0)
    except OSError:  # a container may hide them
        largest = 0
    return min(max(LEAST, 2 * largest), MOST)


def _bytes_by_level() -> dict[str, int]:
    """Return the bytes of all caches of each level, one that cores share counted once."""
    found = {}
    for cache_folder in PROCESSORS.glob("cpu[0-9]*/cache/index*"):
        level, cores, size = (
            (cache_folder / name).read_text(encoding="ascii").strip()
            for name in ("level", "shared_cpu_list", "size")
        )
        found[level, cores] = _bytes_of(size)
    levels = {level for level, _ in found}
    return {
        each: sum(size for (level, _), size in found.items() if level == each) for each in levels
    }


def _bytes_of(size: str) -> int:
    """Return the bytes of a size such as "32768K"; 0 of any other text."""
    number, unit = size[:-1], size[-1:]
    return int(number) * _UNITS[unit] if unit in _UNITS and number.isdigit() else 0
