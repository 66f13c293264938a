"""Which of two ways to the same numbers is faster on this processor: measured, not assumed.

What one processor computes faster takes another one longer: a row of bfloat16 by torch's own kernel
without AMX, by oneDNN's with it. Each question is answered when it first comes up in a process, in
some tenths of a second at most, for each number of threads.

Two ways differ in the last digits, and two processes can answer differently. Where a run has to
repeat another to the last digit, as one that goes on with a training, `usual_ways` is the block.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from llm2vec_gen_rag.backbone.caches import beyond_caches
from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.process_settings import ChangedSettings
from llm2vec_gen_rag.backbone.resident_memory import available_memory
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults

logger = logging.getLogger(__name__)
Way = Callable[[], object]
ROUNDS = 5
# of the usual way's time: less is within what two measurements differ by
WORTH_IT = 0.9

_measuring = ForkSafeLock()  # two measurements at once would each take the other's time


class FasterWay:
    """Whether a way is faster than the usual one, on this processor.

    Attributes:
        question: what is decided, as the log has it.
        usual_only: whether no way but the usual one is taken now, unless it was `set`.
    """

    usual_only = False

    def __init__(
        self, question: str, ways: Callable[[], tuple[Way, Way]], *, large_matrices: int = 0
    ) -> None:
        """Name the two ways.

        Args:
            question: what is decided, such as "one row of bfloat16 without oneDNN".
            ways: makes inputs, and returns what computes by the way in question and what computes
                the same by the usual one.
            large_matrices: how many of `beyond_caches()` bytes it takes to measure, at most.
        """
        self.question = question
        self.large_matrices = large_matrices
        self._ways = ways
        self._answers: dict[int, bool] = {}  # by the number of threads
        self._set: bool | None = None

    def is_faster(self) -> bool:
        """Return the answer, measured at the first call unless it was `set`.

        Where memory is too short to measure, it is the usual way, until `set(None)`. While oneDNN
        is disabled, as another thread may have it in `fast_row`, it is the usual way, too.
        """
        if self._set is not None:
            return self._set
        if FasterWay.usual_only:
            return False
        threads = torch.get_num_threads()
        if threads in self._answers:
            return self._answers[threads]
        with _measuring:
            if threads in self._answers:
                return self._answers[threads]
            with torch_defaults(), torch.no_grad():
                answer = _is_onednn_enabled() and self._has_memory() and self._measured()
            if _is_onednn_enabled():  # else another thread writes, and what was timed is not usual
                self._answers[threads] = answer
            return answer

    def set(self, answer: bool | None) -> None:
        """Decide for this process instead of measuring; None: measure at the next call."""
        self._set = answer
        self._answers.clear()

    def _has_memory(self) -> bool:
        """Return whether there is room for the large matrices, and for one more."""
        available = available_memory() if self.large_matrices else None
        if available is None or available >= (self.large_matrices + 1) * beyond_caches():
            return True
        logger.info("%s: not used, %d bytes are too few to measure it", self.question, available)
        return False

    def _measured(self) -> bool:
        """Return whether the way takes less than `WORTH_IT` of the usual one's time."""
        ways = self._ways()
        for way in ways:
            way()  # compiles the kernels
        least = [math.inf, math.inf]
        for _ in range(ROUNDS):  # by turns, the least of each: another program may compute, too
            least = [min(seconds, _seconds(way)) for seconds, way in zip(least, ways, strict=True)]
        answer = least[0] < WORTH_IT * least[1]
        logger.info(
            "%s: %.2g ms, else %.2g ms; %s with %d threads",
            *(self.question, 1e3 * least[0], 1e3 * least[1], "used" if answer else "not used"),
            torch.get_num_threads(),
        )
        return answer


def _take_usual_ways(undo: ExitStack) -> None:
    undo.callback(setattr, FasterWay, "usual_only", False)
    FasterWay.usual_only = True


usual_ways = ChangedSettings(_take_usual_ways)


def _is_onednn_enabled() -> bool:
    onednn: Any = torch.backends.mkldnn
    return bool(onednn.enabled)


def _seconds(compute: Way) -> float:
    started = time.perf_counter()
    compute()
    return time.perf_counter() - started
