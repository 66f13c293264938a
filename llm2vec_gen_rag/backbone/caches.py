"""How large a matrix has to be so that the caches of the processor do not hold it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
# bytes; the caches of most processors hold less, and measuring with more takes long
LEAST, MOST = 2**26, 2**28
_UNITS = {"K": 2**10, "M": 2**20}


@cache
def beyond_caches() -> int:
    """Return twice the bytes of the largest cache that Linux names, between `LEAST` and `MOST`.

    What the LLM multiplies comes from memory: it is larger than all caches. A matrix that one of
    them holds is read several times as fast, and says nothing of that.
    """
    sizes = [_bytes_of(file.read_text(encoding="ascii")) for file in CACHES.glob("index*/size")]
    return min(max(LEAST, *(2 * size for size in sizes), 0), MOST)


def _bytes_of(size: str) -> int:
    """Return the bytes of a size such as "32768K"."""
    number, unit = size.strip()[:-1], size.strip()[-1:]
    return int(number) * _UNITS[unit] if unit in _UNITS and number.isdigit() else 0
