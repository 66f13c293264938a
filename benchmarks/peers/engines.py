"""The engines beside ours: which there are, and starting those that can be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reference_environment
from benchmarks.peers import environment
from benchmarks.peers.model_parts import Parts
from benchmarks.workers import Worker, WorkerError

TOKENS = ("rows",)
INSTRUCTED = ("texts", "instruction")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A way to embed, by a worker in the environment that has it.

    Attributes:
        name: of the way.
        module: the worker, in `benchmarks`.
        needs: the package that it is about.
        load: the arguments of its `load`.
        reads: what of `Side` its `encode` and `vectors` are given.
        python: the interpreter of its environment.
        writes: whether it can continue a prompt.
        same_llm: whether its vectors are to be ours.
    """

    name: str
    module: str
    needs: str
    load: dict[str, Any]
    reads: tuple[str, ...] = TOKENS
    python: Path = environment.PYTHON
    writes: bool = False
    same_llm: bool = True


Started = tuple[Engine, Worker]


def engines(checkpoint: str, parts: Parts) -> list[Engine]:
    """Return every engine that is measured beside ours."""
    own, heads = Path(sys.executable), str(parts.file)
    llm = {"base": str(parts.base), "parts": heads, "dtype": parts.dtype}
    minilm = {"folder": str(environment.MINILM)}
    return [
        Engine(
            name="reference", module="reference_worker", needs="llm2vec_gen", reads=INSTRUCTED,
            load={"checkpoint": checkpoint},
            python=reference_environment.PYTHON,
        ),
        Engine(
            name="transformers", module="peers.transformers_worker", needs="transformers",
            load=llm, python=own, writes=True,
        ),
        Engine(name="openvino", module="peers.openvino_worker", needs="openvino", load=llm),
        *(
            Engine(
                name=f"llama.cpp {kind}", module="peers.llama_worker", needs="llama_cpp",
                load={"file": str(file), "parts": heads}, writes=True,
            )
            for kind, file in parts.gguf_files.items()
        ),
        Engine(
            name="all-MiniLM-L6-v2 by sentence-transformers", module="peers.minilm_worker",
            needs="sentence_transformers", load=minilm, reads=("texts",), python=own,
            same_llm=False,
        ),
        Engine(
            name="all-MiniLM-L6-v2 by fastembed", module="peers.fastembed_worker",
            needs="fastembed", load=minilm, reads=("texts",), same_llm=False,
        ),
    ]  # fmt: skip


def start(
    listed: Sequence[Engine], threads: int, running: ExitStack
) -> tuple[list[Started], dict[str, str]]:
    """Return the engines that start, loaded, and why each other one does not.

    Their workers run until `running` ends.
    """
    started, left_out = [], {}
    for engine in listed:
        reason = environment.why_missing(engine.python, engine.needs)
        if reason is None:
            module = f"benchmarks.{engine.module}"
            worker = running.enter_context(Worker(str(engine.python), module, threads))
            try:
                worker.ask("load", **engine.load)
            except WorkerError as error:
                reason = str(error).strip().rpartition("\n")[2]
        if reason is None:
            started.append((engine, worker))
        else:
            left_out[engine.name] = reason
            print(f"{engine.name} is left out: {reason}", file=sys.stderr)
    return started, left_out
