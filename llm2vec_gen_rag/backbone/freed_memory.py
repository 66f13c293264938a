"""Keep the memory that one forward frees for the next.

glibc gives a freed block back to the system if it is larger than any that was freed before, or if
it leaves too much free at the end of the heap. The system hands out such memory again page by page,
which took a tenth of the time of embedding documents.
"""

from __future__ import annotations

from functools import cache

import torch

# glibc counts blocks up to this size, and then keeps twice as much free ("M_MMAP_THRESHOLD" and
# "M_TRIM_THRESHOLD" in mallopt(3)); a little is left for what it adds to a block
LARGEST_COUNTED = 2**25 - 2**16


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory from now on, some 64 MiB at most.

    It does so by itself once a block of this size was freed. No page of the one here is touched.
    """
    torch.empty(LARGEST_COUNTED, dtype=torch.uint8, device="cpu")  # freed at once
