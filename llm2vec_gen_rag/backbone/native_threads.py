"""Threads of the libraries beneath, which a fork does not copy: torch's and the tokenizers'.

A forked child would wait for them for ever. So torch's are ended before a fork; the next large
operation starts them again, in either process, within a millisecond. Those of the tokenizers cannot
be ended, and a child tokenizes without them.

The hooks are there once any part of the package is imported, whether or not a model was loaded, as
a program's own use of torch starts the same threads. Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import os
import sys

_HARD = 2  # omp_pause_hard of OpenMP 5.0
_FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC among the flags of a process on Linux
_FLAGS = 6  # the place of the flags behind the name in /proc/self/stat

_ended = False
lost = False  # whether this child's parent could not end torch's threads


def _may_lack_threads() -> bool:
    """Return whether torch is here since before a fork without these hooks, as far as is known."""
    if "torch" not in sys.modules or not os.path.exists("/proc/self/stat"):
        return False
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:
        flags = stat.read().rpartition(")")[2].split()[_FLAGS]
    return bool(int(flags) & _FORKED_WITHOUT_EXEC)


# OpenMP would wait for such threads in order to end them
_can_end = not _may_lack_threads()


def _end_torch_threads() -> bool:
    """End the threads that torch keeps for this one; return whether there are none now."""
    pause = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
    return _can_end and pause is not None and pause(_HARD) == 0


def _before_fork() -> None:
    global _ended
    _ended = "torch" not in sys.modules or _end_torch_threads()


def _after_fork_in_child() -> None:
    """Do without the threads that are gone."""
    global lost
    if "tokenizers" in sys.modules and "TOKENIZERS_PARALLELISM" in os.environ:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # unset, that library does it itself
    if not _ended and (torch := sys.modules["torch"]).get_num_threads() > 1:
        lost = True
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
