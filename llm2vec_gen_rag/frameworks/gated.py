"""What the gates of both frameworks do: ask the gate, and let what follows take its vector."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from llm2vec_gen_rag.frameworks.query_vectors import KnownQuery, known_query
from llm2vec_gen_rag.frameworks.worker_thread import run_on_worker
from llm2vec_gen_rag.safety import RefusalGate, Verdict

if TYPE_CHECKING:
    from llm2vec_gen_rag.safety.linear_score import Vectors

logger = logging.getLogger("llm2vec_gen_rag")


def require_gate(gate: object) -> None:
    """Raise ValueError unless it is a gate, such as for the name of a model that has one."""
    if not isinstance(gate, RefusalGate):
        raise ValueError(
            f"gate is {gate!r:.80} ({type(gate).__name__}); expected a RefusalGate, as "
            "RefusalGate.of(model), RefusalGate.calibrate(...) or RefusalGate.load(...) gives it"
        )


def check(gate: RefusalGate, query: str, vector: Vectors | None = None) -> Verdict:
    """Return the gate's verdict, as `RefusalGate.check`; log a refusal, without the query."""
    return _logged(gate.check(query, vector=vector))


async def acheck(gate: RefusalGate, query: str) -> Verdict:
    """Do what `check` does, off the event loop and after the model's earlier calls."""
    return _logged(await run_on_worker(gate.model, partial(gate.check, query)))


def reusing(gate: RefusalGate, query: str, verdict: Verdict) -> AbstractContextManager[None]:
    """Return a block in which adapters of the gate's model do not embed the query again."""
    vector = verdict.vector.tolist()
    return known_query(KnownQuery(gate.model, gate.instruction, query, vector))


def _logged(verdict: Verdict) -> Verdict:
    if verdict.refused:
        logger.info("refused a query: score %.2f > %.2f", verdict.score, verdict.threshold)
    return verdict
