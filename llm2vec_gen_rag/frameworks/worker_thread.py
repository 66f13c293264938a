"""Await a model's work off the event loop, one forward pass at a time.

A forward pass takes milliseconds to seconds, and a model runs one at a time. The frameworks'
defaults either run it on the event loop, which blocks everything else, or start a thread for each
waiting call. Here every loaded model has one worker thread, which runs its calls in order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from llm2vec_gen_rag.backbone.forks import ForkSafeLock

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

Result = TypeVar("Result")

# Keyed by the model, not by the adapter: two adapters of one model share its worker. Keys are weak,
# so that a worker ends with its model.
_workers: WeakKeyDictionary[LLM2VecGen, ThreadPoolExecutor] = WeakKeyDictionary()
_workers_lock = ForkSafeLock()

if hasattr(
    os, "register_at_fork"
):  # a forked child has the parent's workers, but not their threads
    os.register_at_fork(after_in_child=_workers.clear)


async def run_on_worker(model: LLM2VecGen, call: Callable[[], Result]) -> Result:
    """Await `call()` on the worker thread of `model`.

    Cancelling the awaiting task removes a call that has not started. A call that has started runs
    to its end, because a forward pass cannot be interrupted, and its result is discarded.

    Args:
        model: the loaded model that `call` uses.
        call: a function without arguments.

    Returns:
        The result of `call`. Its exceptions propagate.
    """
    with _workers_lock:
        worker = _workers.get(model)
        if worker is None:
            worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llm2vec-gen")
            _workers[model] = worker
    return await asyncio.get_running_loop().run_in_executor(worker, call)
