"""Memory that was freed is used again without a fault for each of its pages."""

from __future__ import annotations

import mmap
import platform
import subprocess
import sys

import pytest

MIB = 32
FAULTS = f"""
import resource, torch
from llm2vec_gen_rag.backbone.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**18) for _ in range({MIB})]  # of one MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
without = faults()
keep_freed_memory()
faults()
print(without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have rules of their own")
def test_a_block_that_was_freed_is_there_for_the_next():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True
    )
    without, kept = map(int, done.stdout.split())
    pages = MIB * 2**20 // mmap.PAGESIZE
    assert without > pages / 2
    assert kept < pages / 20
