"""The two packages, each in a process of its own: while one is timed, the other waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.reference_environment import reference_python

ROOT = Path(__file__).parent.parent


class WorkerError(RuntimeError):
    """A worker could not do what it was asked; its traceback is the message."""


class Worker:
    """A process that answers requests until it is left."""

    def __init__(self, python: str, module: str, threads: int) -> None:
        """Start it.

        Args:
            python: the interpreter, and with it the environment.
            module: what to run.
            threads: how many it computes with.
        """
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
        """Return the result of a request.

        Raises:
            WorkerError: if the worker failed.
        """
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()


def ours(threads: int) -> Worker:
    """Return a process with this package."""
    return Worker(sys.executable, "benchmarks.our_worker", threads)


def reference(threads: int) -> Worker:
    """Return a process with the reference package."""
    return Worker(reference_python(), "benchmarks.reference_worker", threads)
