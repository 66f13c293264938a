"""A process that loads a model and embeds what it is sent, and its end in the process that asks."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from transformers.utils import logging

from llm2vec_gen_rag.errors import BaseModelError, CheckpointError, NonFiniteError, WorkerError
from llm2vec_gen_rag.model import LLM2VecGen

# what one operation of a large model may take, before the process looks up
SECONDS_TO_END = 10
# errors that come up as they are in one process; any other becomes a WorkerError
_AS_THEY_ARE = (ValueError, CheckpointError, BaseModelError, NonFiniteError)


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
    """What went wrong in a process. It is told in words: not every error survives the way."""

    kind: type[Exception]
    message: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return what is told of an error."""
        kind = next((kind for kind in _AS_THEY_ARE if isinstance(error, kind)), WorkerError)
        name = "" if kind is not WorkerError else f"{type(error).__name__}: "
        return cls(kind, f"{name}{error}", "".join(traceback.format_exception(error)))


class RemoteError(Exception):
    """Shown above the error that it caused: the traceback from the other process."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


class Worker:
    """A process, seen from the one that started it.

    Attributes:
        connection: becomes readable once the process has answered or ended.
    """

    def __init__(self, device: str, load: dict[str, Any], threads: int) -> None:
        """Start the process; it first answers with the dimension of the model.

        Args:
            device: what to call it by.
            load: arguments of `LLM2VecGen.from_pretrained`.
            threads: how many it computes with.
        """
        context = get_context("spawn")  # a fork would share CUDA's state and the threads' locks
        self.connection, theirs = context.Pipe()
        self._device = device
        self._process = context.Process(target=serve, args=(theirs, load, threads), daemon=True)
        self._process.start()
        theirs.close()  # so that reading ends when the process does
        self._ready = False

    def send(self, call: Call) -> None:
        """Send a call to an idle process.

        Raises:
            WorkerError: if it has ended.
        """
        try:
            self.connection.send(call)
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Any:
        """Return the next answer.

        Raises:
            Exception: what was raised there, if it is of a kind that one process raises too.
            WorkerError: if anything else was, or the process has ended.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(answer, Failure):
            raise answer.kind(answer.message) from RemoteError(answer.traceback)
        self._ready = True
        return answer

    def end(self) -> None:
        """Tell the process to end, whatever it does."""
        self._process.terminate()
        self.connection.close()

    def join(self) -> None:
        """Wait until it has ended, at first by itself, which leaves no semaphore behind."""
        self._process.join(SECONDS_TO_END)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ended(self) -> WorkerError:
        self._process.join()
        advice = (
            "The system may have killed it for want of memory: use fewer processes."
            if self._ready
            else "A script has to make a pool under `if __name__ == '__main__':`, and each process "
            "needs memory for a model of its own. See what it printed above."
        )
        return WorkerError(
            f"the process on {self._device} ended with exit code {self._process.exitcode} (below 0 "
            f"is the signal that killed it); expected it to stay. {advice}"
        )


def serve(connection: Connection, load: dict[str, Any], threads: int) -> None:
    """Load a model, then answer calls until the other end is closed.

    Args:
        connection: calls come in; vectors, or a `Failure`, go out.
        load: arguments of `LLM2VecGen.from_pretrained`.
        threads: how many to compute with.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that asks, and it us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # in order, where the default is at once
    torch.set_num_threads(threads)
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # of the tokenizer
    logging.disable_progress_bar()  # bars of several processes would overwrite each other
    try:
        model = LLM2VecGen.from_pretrained(**load)
        connection.send(model.dimension)
        while (call := _next_call(connection)) is not None:
            connection.send(getattr(model, call.method)(call.texts, **call.arguments))
    except Exception as error:  # whatever it was, the process that asked raises it
        connection.send(Failure.of(error))


def _next_call(connection: Connection) -> Call | None:
    """Return what comes in next, or None once the other end is closed."""
    try:
        call: Call = connection.recv()
    except (EOFError, ConnectionResetError):
        return None
    return call
