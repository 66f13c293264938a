"""Watch the forwards of a model's backbone from outside: how many, how wide, how many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Forwards:
    """What the backbone was seen doing."""

    rows: list[int] = field(default_factory=list)  # texts in each forward, in order
    threads: set[str] = field(default_factory=set)
    running: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def watch_forwards(model, seconds=0.0) -> Iterator[Forwards]:
    """Yield the record of the forwards made meanwhile, each slowed down by `seconds`.

    Seen is the norm behind the last layer, through which whatever is read of a forward goes.
    """
    seen = Forwards()

    def entered(module, args):
        with seen.lock:
            seen.rows.append(args[0].shape[0])
            seen.threads.add(threading.current_thread().name)
            seen.running += 1
            seen.most_at_once = max(seen.most_at_once, seen.running)
        time.sleep(seconds)

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
