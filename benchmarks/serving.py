"""A worker's side of the measuring: requests in, results out, one JSON object a line.

It imports nothing beyond Python, as it also runs where this package is not installed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(requests: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until the input ends.

    Args:
        requests: what to call, by the name under "do"; the rest of a line are its arguments.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints says it elsewhere
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": requests[request.pop("do")](**request)}
        except Exception:  # whatever it was, the program that asked shows it
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def seconds_of(call: Callable[[], Any]) -> float:
    """Return how long a call takes on the clock."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def resident_mib() -> float:
    """Return the memory that this process has resident now, in MiB, as Linux says it."""
    with open("/proc/self/statm", encoding="ascii") as pages:
        return int(pages.read().split()[1]) * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Return the most memory this process has had resident, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
