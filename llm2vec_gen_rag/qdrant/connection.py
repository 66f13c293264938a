"""Connect to Qdrant in memory, in a folder or on a server; and the client that stores share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.bm25 import SPARSE_VECTOR, document_vector
from llm2vec_gen_rag.qdrant.payload import TEXT_KEY, complete_payload

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


def turn(client: QdrantClient | CollectionClient) -> AbstractContextManager[Any]:
    """Return the lock under which several calls of a local client are one step to other threads."""
    return client._turn if isinstance(client, CollectionClient) else _turn_of(client)


class CollectionClient:
    """A `QdrantClient` for one collection, safe for several threads and for both frameworks.

    It replaces the client that it wraps, attribute by attribute, with two differences:

    - In local mode only one call runs at a time. Concurrent upserts corrupt a local collection
      (qdrant-client issue 1193), and LangChain's async methods upsert from threads.
    - Points written to the collection get both halves of the payload and a sparse vector, so what
      one framework's own store adds, the other reads at once.
    """

    def __init__(self, client: QdrantClient | CollectionClient, collection_name: str) -> None:
        self._wrapped: QdrantClient = (
            client._wrapped if isinstance(client, CollectionClient) else client
        )
        self._collection_name = collection_name
        self._turn = _turn_of(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        attribute = getattr(self._wrapped, name)
        return self._taking_turns(attribute) if callable(attribute) else attribute

    def upsert(self, collection_name: str, points: Iterable[Any], **options: Any) -> Any:
        """Call `QdrantClient.upsert` with complete points."""
        upsert = self._taking_turns(self._wrapped.upsert)
        return upsert(collection_name, list(self._complete(collection_name, points)), **options)

    def upload_points(self, collection_name: str, points: Iterable[Any], **options: Any) -> None:
        """Call `QdrantClient.upload_points` with complete points."""
        upload = self._taking_turns(self._wrapped.upload_points)
        upload(collection_name, self._complete(collection_name, points), **options)

    def _complete(self, collection_name: str, points: Iterable[Any]) -> Iterable[Any]:
        if collection_name != self._collection_name:
            return points
        return map(complete_point, points)

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


def complete_point(point: models.PointStruct) -> models.PointStruct:
    """Return the point with both payload halves and its sparse vector."""
    payload = complete_payload(_plain_id(point.id), point.payload or {})
    vectors: Any = point.vector if isinstance(point.vector, dict) else {"": point.vector}
    sparse = document_vector(payload.get(TEXT_KEY) or "")
    if sparse.indices:
        vectors = {**vectors, SPARSE_VECTOR: sparse}
    return models.PointStruct(id=point.id, vector=vectors, payload=payload)


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


def _plain_id(point_id: Any) -> int | str:
    return point_id if isinstance(point_id, int) else str(point_id)
