"""Async twins of a collection's methods: awaited off the event loop, with the same arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from llm2vec_gen_rag.frameworks.worker_thread import run_on_worker

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen


class _HasModel(Protocol):
    @property
    def model(self) -> LLM2VecGen: ...


P = ParamSpec("P")
Result = TypeVar("Result")
Owner = TypeVar("Owner")
Searcher = TypeVar("Searcher", bound=_HasModel)


def in_thread(
    call: Callable[Concatenate[Owner, P], Result],
) -> Callable[Concatenate[Owner, P], Coroutine[Any, Any, Result]]:
    """Return the async twin of a method, which runs in a thread.

    Args:
        call: The method.

    Returns:
        A method that awaits it. Cancelling discards the result; a call that has begun ends.
    """

    @wraps(call)
    async def awaited(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await asyncio.to_thread(call, self, *args, **kwargs)

    return _described(awaited, call)


def on_worker(
    call: Callable[Concatenate[Searcher, P], Result],
) -> Callable[Concatenate[Searcher, P], Coroutine[Any, Any, Result]]:
    """Return the async twin of a short method that embeds: one at a time, on the model's worker.

    Args:
        call: The method.

    Returns:
        A method that awaits it. Cancelling removes a call that has not begun.
    """

    @wraps(call)
    async def awaited(self: Searcher, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await run_on_worker(self.model, partial(call, self, *args, **kwargs))

    return _described(awaited, call)


def _described(twin: Callable[P, Result], call: Callable[..., object]) -> Callable[P, Result]:
    twin.__name__ = f"a{call.__name__}"
    twin.__doc__ = f"Await `{call.__name__}` off the event loop; see there."
    return twin
