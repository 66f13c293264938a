"""Settings of torch that are the whole process's, changed for a while by several threads at once.

Were they put back by each thread to what that thread found, two that overlap could leave them
changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_EXACT = ("none", "ieee")  # none of its own: IEEE, unless a setting above it says otherwise
_ATTENTIONS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
    SDPBackend.CUDNN_ATTENTION,
]


class ChangedSettings(AbstractContextManager[None]):
    """A block with settings changed until the last of the threads inside has left."""

    def __init__(self, change: Callable[[ExitStack], None]) -> None:
        """Describe a change.

        Args:
            change: makes it when a thread enters that is alone, and pushes what undoes it.
        """
        self._change = change
        self._undo = ExitStack()
        self._lock = threading.Lock()
        self._inside = 0
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            os.register_at_fork(after_in_child=self._forget_threads)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._change(self._undo)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside = max(0, self._inside - 1)  # it is 0 in a child that was forked inside
            if self._inside == 0:
                self._undo.close()

    def _forget_threads(self) -> None:
        """Undo the change in a forked child: the threads inside did not survive."""
        self._lock = threading.Lock()
        self._inside = 0
        self._undo.close()


def _to_defaults(undo: ExitStack) -> None:
    """Let float32 products be exact, and attention have a kernel."""
    _multiply_exactly(undo)
    if not torch.backends.cuda.math_sdp_enabled():  # the one that computes any attention
        undo.enter_context(sdpa_kernel(_ATTENTIONS))


def _multiply_exactly(undo: ExitStack) -> None:
    """Set the precision of float32 products to the highest.

    From torch 2.9 each backend has its own, and the older setting of all of them is an error to
    read where they differ from it.
    """
    backends: list[Any] = []
    if hasattr(torch.backends, "fp32_precision"):
        onednn: Any = torch.backends.mkldnn
        backends = [onednn.matmul, torch.backends.cuda.matmul]
    before = [backend.fp32_precision for backend in backends]
    try:
        of_all = torch.get_float32_matmul_precision()
    except RuntimeError:
        of_all = "highest"
    if of_all == "highest" and all(precision in _EXACT for precision in before):
        return
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(backends, before, strict=True):
        undo.callback(_restore_precision, backend, precision)
    undo.callback(torch.set_float32_matmul_precision, of_all)  # first, as it sets the others


def _restore_precision(backend: Any, precision: str) -> None:
    """Set a precision of before, as what it inherits where that is the same."""
    backend.fp32_precision = "none"
    if backend.fp32_precision != precision:
        backend.fp32_precision = precision


torch_defaults_of_process = ChangedSettings(_to_defaults)
