"""The two packages, each in a process of its own: requests in, results out, one JSON object a line.

While one process is timed, the other waits. The workers import this file as well, one of them where
only the reference package is installed, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.reference_environment import reference_python

ROOT = Path(__file__).parent.parent


class WorkerError(RuntimeError):
    """A worker failed at a request; the message is its traceback."""


class Worker:
    """A process that answers requests until the `with` block ends."""

    def __init__(self, python: str, module: str, threads: int) -> None:
        """Run a module by the interpreter of an environment, with that many threads."""
        settings = {
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
            "RAYON_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
        }
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Return what a method of the worker returns; raise `WorkerError` if it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the worker ended while asked to {do!r}: see what it printed above")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["result"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def ours(threads: int) -> Worker:
    """Return a process with this package."""
    return Worker(sys.executable, "benchmarks.our_worker", threads)


def reference(threads: int) -> Worker:
    """Return a process with the reference package."""
    return Worker(reference_python(), "benchmarks.reference_worker", threads)


class Requests:
    """What a worker can be asked; each package adds methods of its own."""

    def peak(self) -> float:
        """Return the most memory that this process has had resident, in MiB.

        On Linux `ru_maxrss` begins with the peak of the process that started this one.
        """
        if sys.platform == "darwin":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 2**10

    def resident(self) -> float:
        """Return the memory that this process has resident now, in MiB; on Linux only."""
        with open("/proc/self/statm", encoding="ascii") as pages:
            return int(pages.read().split()[1]) * resource.getpagesize() / 2**20


def serve(requests: Requests) -> None:
    """Answer the requests on standard input until it ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": getattr(requests, request.pop("do"))(**request)}
        except Exception:  # whatever it was, the program that asked shows it
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def timed(method: Callable[..., Any]) -> Callable[..., float]:
    """Let a method return the seconds of wall-clock time that it takes."""

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> float:
        started = time.perf_counter()
        method(*arguments, **options)
        return time.perf_counter() - started

    return call
