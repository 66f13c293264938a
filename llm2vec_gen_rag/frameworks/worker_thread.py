"""Await a model's work from an event loop: off the loop, and one forward at a time.

A model's forward takes milliseconds to seconds and belongs to one caller at a time. The frameworks'
defaults either run it on the event loop, which then serves nobody, or start one thread for each
waiting call. Here every loaded model has one worker thread: calls line up behind it in order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from llm2vec_gen_rag.forks import ForkSafeLock

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

Result = TypeVar("Result")

# Keyed by the model, not by the adapter: two adapters around one model share its worker. The key is
# weak, so that a worker ends with its model.
_workers: WeakKeyDictionary[LLM2VecGen, ThreadPoolExecutor] = WeakKeyDictionary()
_workers_lock = ForkSafeLock()

if hasattr(
    os, "register_at_fork"
):  # a forked child has the parent's workers, but not their threads
    os.register_at_fork(after_in_child=_workers.clear)


async def run_on_worker(model: LLM2VecGen, call: Callable[[], Result]) -> Result:
    """Await `call()` on the worker thread of `model`.

    Cancelling the awaiting task before the call's turn has come removes the call; one that has
    begun runs to its end, as a forward cannot be interrupted, and its result is dropped.

    Args:
        model: the loaded model that `call` uses.
        call: what to run; it takes no arguments.

    Returns:
        What `call` returned. What it raised is raised here.
    """
    with _workers_lock:
        worker = _workers.get(model)
        if worker is None:
            worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm2vec-gen")
            _workers[model] = worker
    return await asyncio.get_running_loop().run_in_executor(worker, call)
