"""Functions and scripts run in a process of their own.

Functions are forked from a process that has imported torch, so at once: for tests of what a process
leaves behind, not of how one starts. One is found by its name, in a module that can be imported.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["llm2vec_gen_rag.cli", "llm2vec_gen_rag.training.pipeline"])

# for a script: runs a function in a forked child, and fails if it does
FORK = """
import os, sys

def fork(child):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def errors_of_script(
    script: str, *arguments: str, seconds: float, cwd: Path | None = None, **environment: str
) -> str:
    """Run a script that ends well within a time, and return what it wrote to standard error."""
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


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
