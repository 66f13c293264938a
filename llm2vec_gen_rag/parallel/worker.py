"""A process that loads a model and embeds the texts it is sent, and its handle in the parent."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass, field
from multiprocessing import get_context, process
from multiprocessing.connection import Connection
from typing import Any
from weakref import WeakSet

import torch
from transformers.utils import logging

from llm2vec_gen_rag.errors import BaseModelError, CheckpointError, NonFiniteError, WorkerError
from llm2vec_gen_rag.model import LLM2VecGen

# one operation of a large model may take this long, and signals are handled after it
SECONDS_TO_END = 10
# errors that the parent raises with their own type; any other becomes a WorkerError
_OWN_TYPES = (ValueError, CheckpointError, BaseModelError, NonFiniteError)


@dataclass(frozen=True)
class Call:
    """A method of the model to call on texts."""

    method: str
    arguments: dict[str, Any]
    texts: list[str] = field(default_factory=list)

    def on(self, texts: list[str]) -> Call:
        """Return the same call on other texts."""
        return Call(self.method, self.arguments, texts)


@dataclass(frozen=True)
class Failure:
    """An error in a process, as strings: not every exception can be pickled."""

    kind: type[Exception]
    message: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an error."""
        kind = next((kind for kind in _OWN_TYPES if isinstance(error, kind)), WorkerError)
        name = "" if kind is not WorkerError else f"{type(error).__name__}: "
        return cls(kind, f"{name}{error}", "".join(traceback.format_exception(error)))


class RemoteError(Exception):
    """The traceback from the other process, shown above the error that it caused."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


class Worker:
    """A process, as its parent sees it.

    Attributes:
        connection: becomes readable once the process has sent a result or ended.
    """

    def __init__(self, device: str, load: dict[str, Any], threads: int) -> None:
        """Start the process; the first result that it sends is the dimension of the model.

        Args:
            device: its name in error messages.
            load: arguments of `LLM2VecGen.from_pretrained`.
            threads: how many it computes with.
        """
        context = get_context("spawn")  # a fork would share CUDA's state and the threads' locks
        self.connection, theirs = context.Pipe()
        self._device = device
        self._process = context.Process(target=serve, args=(theirs, load, threads), daemon=True)
        self._process.start()
        _processes.add(self._process)
        theirs.close()  # so that reading ends when the process does
        self._ready = False

    def send(self, call: Call) -> None:
        """Send a call to an idle process.

        Args:
            call: what to compute.

        Raises:
            WorkerError: if the process has ended.
        """
        try:
            self.connection.send(call)
        except OSError as error:
            raise WorkerError(self._ended()) from error

    def receive(self) -> Any:
        """Wait for the next result.

        Returns:
            The dimension of the model, then the vectors of each call.

        Raises:
            Exception: the error of the process, if `LLM2VecGen` documents its type.
            WorkerError: for any other error of the process, or if it has ended.
        """
        try:
            result = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerError(self._ended()) from error
        if isinstance(result, Failure):
            raise result.kind(result.message) from RemoteError(result.traceback)
        self._ready = True
        return result

    def end(self) -> None:
        """Tell the process to end, whatever it is doing."""
        self._process.terminate()
        self.connection.close()

    def join(self) -> None:
        """Wait until it ends by itself, which leaks no semaphore; kill it if it does not."""
        self._process.join(SECONDS_TO_END)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ended(self) -> str:
        """Return the message for a process that has ended."""
        self._process.join()
        advice = (
            "The system may have killed it because memory ran out: use fewer processes."
            if self._ready
            else "A script has to create a pool under `if __name__ == '__main__':`, and each "
            "process needs memory for a model of its own. See what it printed above."
        )
        return (
            f"the process on {self._device} ended with exit code {self._process.exitcode} (below 0 "
            f"is the signal that killed it); expected it to keep running. {advice}"
        )


_processes: WeakSet[process.BaseProcess] = WeakSet()


def _disown() -> None:
    """Forget, in a forked child, the processes of its parent.

    Python ends the daemons that it knows of when a process ends, and after a plain `os.fork` the
    child knows of its parent's; there is no public way to take them off.
    """
    known: set[process.BaseProcess] = getattr(process, "_children", set())
    known.difference_update(_processes)


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_disown)


def serve(connection: Connection, load: dict[str, Any], threads: int) -> None:
    """Load a model, then run calls until the parent closes the connection.

    Args:
        connection: receives calls; sends the dimension, then vectors, or a `Failure`.
        load: arguments of `LLM2VecGen.from_pretrained`.
        threads: how many to compute with.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the default ends it without cleaning up
    torch.set_num_threads(threads)
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # the tokenizer's
    logging.disable_progress_bar()  # bars of several processes would overwrite each other
    try:
        model = LLM2VecGen.from_pretrained(**load)
        connection.send(model.dimension)
        while (call := _next_call(connection)) is not None:
            connection.send(getattr(model, call.method)(call.texts, **call.arguments))
    except Exception as error:  # of any type: the parent raises it
        connection.send(Failure.of(error))


def _next_call(connection: Connection) -> Call | None:
    """Return the next call, or None once the parent has closed the connection."""
    try:
        call: Call = connection.recv()
    except (EOFError, ConnectionResetError):
        return None
    return call
