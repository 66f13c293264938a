"""A Qdrant client that threads share, which says in our errors what goes wrong with it."""

from __future__ import annotations

import atexit
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.forked import is_inherited, note_opened, require_own
from llm2vec_gen_rag.qdrant.opening.in_place import require_in_place
from llm2vec_gen_rag.qdrant.opening.local_folder import is_local, records_with, written_or_closed
from llm2vec_gen_rag.qdrant.opening.server import ask

_clients: WeakSet[QdrantClient] = WeakSet()  # to close when the script ends
_ended: WeakSet[QdrantClient] = WeakSet()  # closed then
_turns: WeakKeyDictionary[QdrantClient, AbstractContextManager[Any]] = WeakKeyDictionary()
_turns_lock = ForkSafeLock()


@atexit.register
def _close_all() -> None:
    """Close what a script left open: qdrant-client's own attempt comes too late in the exit."""
    for client in list(_clients):
        if not is_inherited(client):
            # for good: SQLite crashes if it is closed amid a call of a daemon thread
            _turn_of(client).__enter__()
            _ended.add(client)
            client.close()


def _wait_for_the_end(client: QdrantClient) -> None:
    """Stop a daemon thread for good if the script has ended, and so has closed its client.

    The thread runs on until it is killed, and nobody is left to hear of its errors.
    """
    if client in _ended and threading.current_thread() is not threading.main_thread():
        threading.Event().wait()


def require_open(client: QdrantClient | CollectionClient) -> None:
    """Raise CollectionError if a collection's client, or one that is lent from it, is closed."""
    cast("CollectionClient", client).require_open()


def turn(client: QdrantClient | CollectionClient) -> AbstractContextManager[Any]:
    """Return the lock under which several calls of a local client are one step to other threads."""
    return client._turn if isinstance(client, CollectionClient) else _turn_of(client)


def look_in_memory(
    client: QdrantClient | CollectionClient, name: str, key: str
) -> list[models.Record]:
    """Return the points of a local collection whose payloads have a key; see `records_with`."""
    shared = CollectionClient(client)
    found: list[models.Record] = shared._taking_turns(records_with)(shared._wrapped, name, key)
    return found


class CollectionClient:
    """A `QdrantClient` that is safe for several threads.

    It replaces the client that it wraps, attribute by attribute, except that:

    - In local mode only one call runs at a time. Concurrent upserts corrupt a local collection
      (qdrant-client issue 1193), and LangChain's async methods upsert from threads.
    - What goes wrong on the way to a server or to a disk is a `CollectionError`, and so is a call
      after `close`. Calls of a server that may be repeated are, up to twice.
    """

    def __init__(self, client: QdrantClient | CollectionClient) -> None:
        self._wrapped: QdrantClient = (
            client._wrapped if isinstance(client, CollectionClient) else client
        )
        self._turn = _turn_of(self._wrapped)
        note_opened(self._wrapped)
        _clients.add(self._wrapped)

    def close(self, **options: Any) -> None:
        """Close the client; a second time, or in a forked child, do nothing.

        Args:
            **options: Of `QdrantClient.close`.

        Raises:
            CollectionError: A file of the folder is gone or another one, and what was written with
                it. The client is closed nevertheless.
        """
        with self._turn:
            if not (is_inherited(self._wrapped) or _is_closed(self._wrapped)):
                require_in_place(self._wrapped)
                self._wrapped.close(**options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        attribute = getattr(self._wrapped, name)
        return self._taking_turns(attribute) if callable(attribute) else attribute

    def _taking_turns(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def in_turn(*args: Any, **kwargs: Any) -> Any:
            require_own(self._wrapped)
            try:
                with self._turn:
                    self.require_open()
                    if not is_local(self._wrapped):
                        return ask(self._wrapped, call, *args, **kwargs)
                    with written_or_closed(self._wrapped):
                        return _call_locally(call, *args, **kwargs)
            except Exception:
                _wait_for_the_end(self._wrapped)
                raise

        return in_turn

    def require_open(self) -> None:
        """Raise CollectionError if the client is closed, or is that of a parent process."""
        require_own(self._wrapped)
        if _is_closed(self._wrapped):
            _wait_for_the_end(self._wrapped)
            raise CollectionError(
                "the collection is closed, and so are the stores made from it; expected an open "
                "one. Open it again with DocumentCollection.open(...)."
            )


def _call_locally(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call local mode, whose answer to a collection that is gone is a ValueError."""
    try:
        return call(*args, **kwargs)
    except ValueError as error:
        if not re.fullmatch("Collection .* not found", str(error), re.DOTALL):
            raise
        raise CollectionError(
            f"{error}: it was deleted after it was opened. Open it again, and index your documents."
        ) from error


def _is_closed(client: QdrantClient) -> bool:
    """Return whether a client was closed."""
    backend: Any = client._client  # there is no public way to ask
    return bool(backend.closed)


def _turn_of(client: QdrantClient) -> AbstractContextManager[Any]:
    """Return the lock that all users of a local client share; a server needs none."""
    with _turns_lock:
        if client not in _turns:
            _turns[client] = ForkSafeLock() if is_local(client) else nullcontext()
        return _turns[client]
