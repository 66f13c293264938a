"""Functions run in a process of their own: forked from one that has imported torch, so at once.

For tests of what a process leaves behind, not of how one starts. The function is found by its name,
in a module that can be imported.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["llm2vec_gen_rag.cli", "llm2vec_gen_rag.training.pipeline"])


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the function returns in a process of its own, or raise what it raises."""
    with ProcessPoolExecutor(1, mp_context=FORKED) as process:
        return process.submit(function, *arguments).result()


def killed_when(due: Callable[[], bool], function: Callable[..., Any], *arguments: Any) -> None:
    """Run the function in a process of its own, and kill it outright as soon as `due()`."""
    process = FORKED.Process(target=function, args=arguments)
    process.start()
    try:
        while not due():
            assert process.is_alive(), "the process ended before it could be killed"
            time.sleep(0.001)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
