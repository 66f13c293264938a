"""What is wrong with a folder of Qdrant's local mode, by file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.local.persistence import CollectionPersistence
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError, first_line

_RESTORE = "Restore it from a backup, or move the folder away and index your documents again."


def meta_file(folder: Path) -> Path:
    """Return the file that says which collections a folder has."""
    return folder / "meta.json"


def storage_file(folder: Path, name: str) -> Path:
    """Return the database of a collection's points."""
    return folder / "collection" / name / "storage.sqlite"


def require_whole(folder: Path) -> None:
    """Raise if a file is missing or damaged where local mode would go on without it.

    Args:
        folder: The folder; a new one passes.

    Raises:
        CollectionError: With the file.
    """
    meta = meta_file(folder)
    if _is_empty_file(meta) and not (folder / "collection").exists():
        meta.unlink()  # a process was killed while it created the folder
    if meta.exists():
        for name in _collections(meta):
            _require_points_table(storage_file(folder, name))
        return
    names = [storage.parent.name for storage in folder.glob("collection/*/storage.sqlite")]
    if names:
        raise CollectionError(
            f"{meta} is gone, which says what wrote the collections {', '.join(sorted(names))}; "
            f"expected it beside them. {_RESTORE}"
        )


def require_vectors(client: QdrantClient) -> None:
    """Raise ValueError unless every vector that a folder's client read is one of its collection."""
    local = client._client
    if not isinstance(local, QdrantLocal):
        return
    for collection in local.collections.values():
        for name, params in collection.vectors_config.items():
            vectors = collection.vectors[name]
            if vectors.shape[1:] != (params.size,) or vectors.dtype.kind not in "fiu":
                raise ValueError("vectors of another kind")
            if not np.isfinite(vectors.sum()):
                raise ValueError("a vector with NaN or infinity")


def holds_points(storage: Path) -> bool | None:
    """Return whether there are points in a database; None without a table for them.

    Args:
        storage: The database.

    Returns:
        Whether there are.

    Raises:
        CollectionError: It is damaged.
    """
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


def why_not_opened(folder: Path, error: Exception) -> str:
    """Return what is wrong with a folder that local mode failed to open, and what to do."""
    if isinstance(error, RuntimeError) and "already accessed" in str(error):
        return (
            f"{folder} is open in another Qdrant client, and a folder serves one at a time. Close "
            "that one, share its client (DocumentCollection(client, name, model)), or run a "
            "Qdrant server and pass its URL."
        )
    meta = meta_file(folder)
    if isinstance(error, ValidationError):
        return _damage(meta, error)
    for name, config in _collections(meta).items():
        storage = storage_file(folder, name)
        wrong: Exception | str | None
        try:
            with closing(CollectionPersistence(str(storage.parent))) as points:
                wrong = next(_wrong_vectors(points, config, meta), None)
        except Exception as why:  # a damaged pickle raises anything
            wrong = why
        if wrong is not None:
            return _damage(storage, wrong)
    return _damage(folder, error)


def _collections(meta: Path) -> dict[str, Any]:
    """Return the collections that a `meta.json` lists."""
    try:
        content = json.loads(meta.read_text(encoding="utf-8"))
        collections: dict[str, Any] = content["collections"]
        described = all(isinstance(config, dict) for config in collections.values())
        whole = described and isinstance(content["aliases"], dict)
        nowhere = [alias for alias, name in content["aliases"].items() if name not in collections]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CollectionError(_damage(meta, error)) from error
    if not whole:
        raise CollectionError(_damage(meta, "it describes no collections"))
    if nowhere:
        why = f"it has no collection that its alias {nowhere[0]!r} could stand for"
        raise CollectionError(_damage(meta, why))
    return collections


def _require_points_table(storage: Path) -> None:
    """Raise unless a database is there and has its table: local mode would create either."""
    if not storage.is_file():
        raise CollectionError(
            f"{storage} is gone, which holds the collection's documents; expected it there. "
            f"{_RESTORE}"
        )
    if holds_points(storage) is None:
        raise CollectionError(_damage(storage, "it has no table of points"))


def _wrong_vectors(
    points: CollectionPersistence, config: dict[str, Any], meta: Path
) -> Iterator[str]:
    """Yield what is wrong with each vector that is not as the collection's are."""
    vectors = config.get("vectors") or {}
    sizes = {"": vectors} if "size" in vectors else vectors
    for point in points.load():
        held = point.vector if isinstance(point.vector, dict) else {"": point.vector}
        for name, params in sizes.items():
            vector: Any = held.get(name)
            if vector is None or params.get("multivector_config"):
                continue
            if not isinstance(vector, list) or not all(_is_finite(value) for value in vector):
                yield f"the vector of point {point.id} is no list of finite numbers"
            elif len(vector) != params["size"]:
                yield (
                    f"the vector of point {point.id} has {len(vector)} numbers, and {meta} says "
                    f"{params['size']}"
                )


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _damage(path: Path, why: Exception | str) -> str:
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {first_line(why)}"
    return f"{path} is damaged ({reason}); expected what Qdrant's local mode wrote. {_RESTORE}"


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0
