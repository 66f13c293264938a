"""Locks that no forked child finds held.

A fork copies the memory of a process and one thread of it. A lock that another thread held then
stays held in the child for ever. Here a fork waits for the locks, as Python's `logging` does, so
that what they protect is whole in the child; one that is not free in time is renewed there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

# one batch on a CPU takes less; a model that loads, or a long text being written, takes more
SECONDS_TO_WAIT = 2.0


class ForkSafeLock:
    """A re-entrant lock that can be taken in a forked child, whoever held it in the parent."""

    def __init__(self, repair: Callable[[], None] | None = None) -> None:
        """Make a lock that is free.

        Args:
            repair: called in a child after a fork amid another thread's work under this lock, to
                put right what that thread left half done.
        """
        self._lock = threading.RLock()
        self._repair = repair
        with _list_lock:
            _locks.add(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; see `threading.Lock.acquire`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Give the lock back; see `threading.Lock.release`."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def renew(self) -> None:
        """Replace the lock by a free one, and repair what it protects."""
        self._lock = threading.RLock()
        if self._repair is not None:
            self._repair()


_locks: WeakSet[ForkSafeLock] = WeakSet()
_list_lock = threading.Lock()
# between the two ends of a fork: the locks that exist, and those of them that were free
_known: list[ForkSafeLock] = []
_taken: list[ForkSafeLock] = []


def _take_all() -> None:
    """Wait for the locks, all together no longer than `SECONDS_TO_WAIT`."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    _list_lock.acquire()
    _known.extend(_locks)
    for lock in _known:
        if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _taken.append(lock)


def _give_back() -> None:
    """Release, in the parent, what was taken."""
    for lock in _taken:
        lock.release()
    _known.clear()
    _taken.clear()
    _list_lock.release()


def _renew() -> None:
    """Release, in the child, what was taken, and renew the rest."""
    for lock in _known:
        if lock not in _taken:
            lock.renew()
    _give_back()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=_take_all, after_in_parent=_give_back, after_in_child=_renew)
