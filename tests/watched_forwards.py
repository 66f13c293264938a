"""Watch the forwards of a model's backbone from outside: how many, how wide, how many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Forwards:
    """What the backbone was seen doing."""

    rows: list[int] = field(default_factory=list)  # texts in each forward, in order
    running: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def watch_forwards(model, during: Callable[[], None] = lambda: None) -> Iterator[Forwards]:
    """Yield the record of the forwards made in the block; each calls `during` on its way.

    It watches the norm after the last layer, which every forward passes.
    """
    seen = Forwards()

    def entered(module, args):
        with seen.lock:
            seen.rows.append(args[0].shape[0])
            seen.running += 1
            seen.most_at_once = max(seen.most_at_once, seen.running)
        during()

    def left(module, args, output):
        with seen.lock:
            seen.running -= 1

    norm = model.backbone.base_model.norm
    hooks = [norm.register_forward_pre_hook(entered), norm.register_forward_hook(left)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class Gate:
    """Holds each forward up until it is opened, so that a test sees what else happens meanwhile."""

    def __init__(self):
        self._opened = threading.Event()

    def open(self):
        self._opened.set()

    def wait(self):
        if not self._opened.wait(timeout=60):
            raise TimeoutError("nothing opened the gate: the forward kept everything else waiting")
