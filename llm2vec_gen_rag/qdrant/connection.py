"""Connect to Qdrant in memory, in a folder or on a server; and let threads share the client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError

_turns: WeakKeyDictionary[QdrantClient, AbstractContextManager[Any]] = WeakKeyDictionary()
_turns_lock = Lock()


def connect(location: str | os.PathLike[str], api_key: str | None = None) -> QdrantClient:
    """Open a Qdrant client.

    Args:
        location: ``":memory:"``, a server's ``http(s)://`` URL, or a folder, created if it is new.
        api_key: The server's key.

    Returns:
        The client, which the caller closes.

    Raises:
        ValueError: A key without a server, or a location that looks like a server's without its
            scheme.
        CollectionError: Another client has the folder open, or it is not a folder.
    """
    place = os.fspath(location)
    if place.startswith(("http://", "https://")):
        # The check only warns, and about versions; the first request fails with the reason.
        return QdrantClient(url=place, api_key=api_key, check_compatibility=False)
    if api_key is not None:
        raise ValueError(
            f"api_key was given for {place!r}; expected a server's http:// or https:// URL."
        )
    if "://" in place or re.fullmatch(r"[\w.-]+:\d+", place):
        raise ValueError(
            f"location is {place!r}; expected ':memory:', a folder, or a URL that starts with "
            "http:// or https://."
        )
    if place == ":memory:":
        return QdrantClient(location=place)
    return _open_folder(place)


def is_local(client: QdrantClient) -> bool:
    """Return whether the client is Qdrant's local mode, in memory or in a folder."""
    options = client.init_options
    return options["location"] == ":memory:" or options["path"] is not None


def hasten_commits(client: QdrantClient, collection_name: str) -> None:
    """Make commits to a folder return before the disk has them; no effect elsewhere.

    Local mode commits point by point, which takes minutes for ten thousand points. A killed
    process loses nothing by this. A power cut may lose the last points, each as a whole, and
    indexing again restores them.
    """
    local = client._client  # there is no public way to the database
    if not isinstance(local, QdrantLocal):
        return
    storage = local.collections[local.aliases.get(collection_name, collection_name)].storage
    if storage is not None:
        storage.storage.execute("PRAGMA journal_mode = WAL")
        storage.storage.execute("PRAGMA synchronous = NORMAL")


class CollectionClient:
    """A `QdrantClient` that is safe for several threads.

    It replaces the client that it wraps, attribute by attribute. In local mode only one call runs
    at a time: concurrent upserts corrupt a local collection (qdrant-client issue 1193), and
    LangChain's async methods upsert from threads.
    """

    def __init__(self, client: QdrantClient | CollectionClient) -> None:
        self._wrapped: QdrantClient = (
            client._wrapped if isinstance(client, CollectionClient) else client
        )
        self._turn = _turn_of(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        attribute = getattr(self._wrapped, name)
        return self._taking_turns(attribute) if callable(attribute) else attribute

    def _taking_turns(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def in_turn(*args: Any, **kwargs: Any) -> Any:
            with self._turn:
                try:
                    return call(*args, **kwargs)
                except ResponseHandlingException as error:
                    raise self._no_answer(error) from error

        return in_turn

    def _no_answer(self, error: ResponseHandlingException) -> CollectionError:
        options = self._wrapped.init_options
        server = options["url"] or options["location"] or options["host"]
        return CollectionError(
            f"No Qdrant server answered at {server} ({error}). Start one there, correct the "
            "URL, or pass a folder to work without a server."
        )


def _open_folder(folder: str) -> QdrantClient:
    try:
        # CollectionClient serialises the calls, which is what SQLite's check is there to ensure
        return QdrantClient(path=folder, force_disable_check_same_thread=True)
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise CollectionError(
            f"{folder} is open in another Qdrant client, and a folder serves one at a time. Close "
            "that one, share its client (DocumentCollection(client, name, model)), or run a "
            "Qdrant server and pass its URL."
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise CollectionError(
            f"{folder} is a file; expected a folder for the collection. Pass another path."
        ) from error


def _turn_of(client: QdrantClient) -> AbstractContextManager[Any]:
    """Return the lock that all users of a local client share; a server needs none."""
    with _turns_lock:
        if client not in _turns:
            _turns[client] = RLock() if is_local(client) else nullcontext()
        return _turns[client]
