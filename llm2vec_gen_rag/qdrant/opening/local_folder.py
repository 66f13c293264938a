"""A folder in which Qdrant's local mode keeps collections: opened whole, or refused by file.

Local mode itself takes a missing file for a new one: without `meta.json` it forgets which model
wrote the points, and without a `storage.sqlite` it holds no points.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.opening.damage import (
    holds_points,
    meta_file,
    require_vectors,
    require_whole,
    storage_file,
    why_not_opened,
)
from llm2vec_gen_rag.qdrant.opening.in_place import require_in_place


def open_folder(folder: str) -> QdrantClient:
    """Open a folder, created if it is new.

    Args:
        folder: Its path.

    Returns:
        The client, which the caller closes.

    Raises:
        CollectionError: Another client has it open, a file in it is missing, damaged or cannot be
            written, or it is no folder.
    """
    try:
        require_no_file(Path(folder))
        require_whole(Path(folder))
        # CollectionClient serialises the calls, which is what SQLite's check is there to ensure
        client = QdrantClient(path=folder, force_disable_check_same_thread=True)
        with ExitStack() as stack:
            stack.callback(client.close)
            require_in_place(client)
            require_vectors(client)
            stack.pop_all()
    except (FileExistsError, NotADirectoryError) as error:
        raise CollectionError(
            f"{error.filename or folder} is a file; expected a folder for the collection. Pass "
            "another path."
        ) from error
    except OSError as error:
        raise CollectionError(
            f"{error.filename or folder} cannot be opened for reading and writing "
            f"({error.strerror}); expected a folder that this user may write. Free space on its "
            "disk, change its permissions, or copy the folder to where you may write."
        ) from error
    except CollectionError:
        raise
    except Exception as error:  # points are pickles, and a damaged pickle raises anything
        why = why_not_opened(Path(folder), error)
        raise CollectionError(why) from error
    return client


def require_no_file(folder: Path) -> None:
    """Raise CollectionError if a file is where a folder, or one around it, should be."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise CollectionError(
            f"{nearest} is a file; expected a folder for the collection. Pass another path."
        )


def is_local(client: QdrantClient) -> bool:
    """Return whether the client is Qdrant's local mode, in memory or in a folder."""
    options = client.init_options
    return options["location"] == ":memory:" or options["path"] is not None


def records_with(client: QdrantClient, name: str, key: str) -> list[models.Record]:
    """Return the points of local mode whose payloads have a key.

    A filter of local mode takes several hundred times longer over each point.

    Args:
        client: A client in local mode.
        name: The collection, or an alias of it.
        key: The key of an object in the payload, as ``object.key``.

    Returns:
        The points without vectors, and with their payloads themselves: not to be changed.
    """
    outer, inner = key.split(".")
    local: Any = client._client  # there is no public way to the payloads
    collection = local._get_collection(name)
    return [
        models.Record(id=point, payload=collection.payload[place])
        for point, place in collection.ids.items()
        if isinstance(value := collection.payload[place].get(outer), dict)
        and inner in value
        and not collection.deleted[place]
    ]


def hasten_commits(client: QdrantClient, collection_name: str) -> None:
    """Make commits to a folder return before the disk has them; no effect elsewhere.

    Local mode commits point by point, which takes minutes for ten thousand points. A killed
    process loses nothing by this. A power cut may lose the last points, each as a whole, and
    indexing again restores them.

    Args:
        client: The client.
        collection_name: The collection.

    Raises:
        CollectionError: The folder cannot be written.
    """
    local = client._client  # there is no public way to the database
    if not isinstance(local, QdrantLocal):
        return
    storage = local.collections[local.aliases.get(collection_name, collection_name)].storage
    if storage is not None:
        with written_or_closed(client):
            storage.storage.execute("PRAGMA journal_mode = WAL")
            storage.storage.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def written_or_closed(client: QdrantClient) -> Iterator[None]:
    """Close a local client whose disk fails, or whose files are not those that it opened.

    Its memory and its disk may no longer agree.

    Args:
        client: A client in local mode.

    Yields:
        Nothing: the block calls the client.

    Raises:
        CollectionError: The disk is full or read-only, or a file is gone or another one.
    """
    try:
        require_in_place(client)
        yield
        require_in_place(client)
    except (sqlite3.Error, OSError) as error:
        client.close()
        path = getattr(error, "filename", None) or client.init_options["path"]
        raise CollectionError(
            f"{path} cannot be written ({error}), and the collection was closed. What was written "
            "before is whole. Free space on its disk or make its files writable, open the "
            "collection again, and repeat the call."
        ) from error


def require_no_leftovers(client: QdrantClient, name: str) -> None:
    """Raise if a folder holds points under a name that its `meta.json` does not know.

    Local mode would take them into the new collection, whichever model wrote them.

    Args:
        client: A client; without a folder, nothing is checked.
        name: The collection that is about to be created.

    Raises:
        CollectionError: There are such points.
    """
    folder = client.init_options["path"]
    if folder is None:
        return
    storage = storage_file(Path(folder), name)
    if storage.is_file() and holds_points(storage):
        raise CollectionError(
            f"{storage} holds points, but {meta_file(Path(folder))} does not know their collection "
            "and so not the model that wrote them. Restore that file from a backup, or remove "
            f"{storage.parent} and index your documents again."
        )
