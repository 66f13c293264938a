"""A folder in which Qdrant's local mode keeps collections: opened whole, or refused by file.

Local mode itself takes a missing file for a new one: without `meta.json` it forgets which model
wrote the points, and without a `storage.sqlite` it holds no points.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.local.persistence import CollectionPersistence
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError, first_line

_RESTORE = "Restore it from a backup, or move the folder away and index your documents again."


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
        _require_whole(Path(folder))
        # CollectionClient serialises the calls, which is what SQLite's check is there to ensure
        return QdrantClient(path=folder, force_disable_check_same_thread=True)
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
        why = _why_not_opened(Path(folder), error)
        raise CollectionError(why) from error


def is_local(client: QdrantClient) -> bool:
    """Return whether the client is Qdrant's local mode, in memory or in a folder."""
    options = client.init_options
    return options["location"] == ":memory:" or options["path"] is not None


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
    """Close a local client whose disk fails, as its memory and its disk may no longer agree.

    Args:
        client: A client in local mode.

    Yields:
        Nothing: the block calls the client.

    Raises:
        CollectionError: The disk is full, read-only or gone.
    """
    try:
        yield
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
    storage = _storage(Path(folder), name)
    if storage.is_file() and _holds_points(storage):
        raise CollectionError(
            f"{storage} holds points, but {_meta(Path(folder))} does not know their collection and "
            "so not the model that wrote them. Restore that file from a backup, or remove "
            f"{storage.parent} and index your documents again."
        )


def _require_whole(folder: Path) -> None:
    """Raise if a file is missing or damaged where local mode would go on without it."""
    meta = _meta(folder)
    if _is_empty_file(meta) and not (folder / "collection").exists():
        meta.unlink()  # a process was killed while it created the folder
    if meta.exists():
        for name in _collections(meta):
            _require_points_table(_storage(folder, name))
        return
    names = [storage.parent.name for storage in folder.glob("collection/*/storage.sqlite")]
    if names:
        raise CollectionError(
            f"{meta} is gone, which says what wrote the collections {', '.join(sorted(names))}; "
            f"expected it beside them. {_RESTORE}"
        )


def _collections(meta: Path) -> dict[str, Any]:
    """Return the collections that a `meta.json` lists."""
    try:
        content = json.loads(meta.read_bytes())
        collections: dict[str, Any] = content["collections"]
        described = all(isinstance(config, dict) for config in collections.values())
        whole = described and isinstance(content["aliases"], dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CollectionError(_damage(meta, error)) from error
    if not whole:
        raise CollectionError(_damage(meta, "it describes no collections"))
    return collections


def _require_points_table(storage: Path) -> None:
    """Raise unless a database is there and has its table: local mode would create either."""
    if not storage.is_file():
        raise CollectionError(
            f"{storage} is gone, which holds the collection's documents; expected it there. "
            f"{_RESTORE}"
        )
    if _holds_points(storage) is None:
        raise CollectionError(_damage(storage, "it has no table of points"))


def _holds_points(storage: Path) -> bool | None:
    """Return whether there are points in a database; None without a table for them."""
    uri = storage.resolve().as_uri()
    try:
        with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM points LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        return True  # locked, or in a read-only folder: opening it for writing says which
    except sqlite3.DatabaseError as error:
        raise CollectionError(_damage(storage, error)) from error


def _why_not_opened(folder: Path, error: Exception) -> str:
    """Return what is wrong with a folder that local mode failed to open, and what to do."""
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return (
            f"{folder} is open in another Qdrant client, and a folder serves one at a time. Close "
            "that one, share its client (DocumentCollection(client, name, model)), or run a "
            "Qdrant server and pass its URL."
        )
    if isinstance(error, ValidationError):
        return _damage(_meta(folder), error)
    for name in _collections(_meta(folder)):
        try:
            with closing(CollectionPersistence(str(_storage(folder, name).parent))) as points:
                list(points.load())
        except Exception as why:  # a damaged pickle raises anything
            return _damage(_storage(folder, name), why)
    return _damage(folder, error)


def _damage(path: Path, why: Exception | str) -> str:
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {first_line(why)}"
    return f"{path} is damaged ({reason}); expected what Qdrant's local mode wrote. {_RESTORE}"


def _meta(folder: Path) -> Path:
    return folder / "meta.json"


def _storage(folder: Path, name: str) -> Path:
    return folder / "collection" / name / "storage.sqlite"


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0
