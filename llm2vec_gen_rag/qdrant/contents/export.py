"""A collection written as JSON Lines, which `index` reads back into the same documents.

A line is ``{"id", "text", "metadata", "_llm2vec_gen": {"sources", "vector"}}``: the text as it was
indexed, and who holds the document, so that reading the file back gives it the same sources. `id`
is null if the document was indexed without one. The vector is for other programs: reading the file
back embeds the text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.files import replacing, storing
from llm2vec_gen_rag.qdrant.contents.stored import as_indexed, holders_of, stored_document
from llm2vec_gen_rag.qdrant.filters import Where, to_filter
from llm2vec_gen_rag.qdrant.points.pages import scroll
from llm2vec_gen_rag.qdrant.points.payload import STAMP_KEY

JSON_LINES = ".jsonl"
_DENSE_VECTOR = ""


def export(
    client: QdrantClient,
    name: str,
    path: str | os.PathLike[str],
    where: Where | None,
    *,
    vectors: bool,
) -> int:
    """Write documents to a file, a page in memory at a time.

    Args:
        client: The collection's client.
        name: The collection.
        path: The file, which is replaced, whole or not at all.
        where: What the documents have; None for all of them.
        vectors: Whether to write their vectors.

    Returns:
        How many were written.

    Raises:
        ValueError: The path is none of a `.jsonl` file.
        StorageError: The disk is full, or the file cannot be written.
    """
    target = require_json_lines(path)
    condition = to_filter(where) or models.Filter()
    written = 0
    with (
        storing(f"the export {target}", "a file that was there is whole"),
        replacing(target) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for line in _lines(client, name, condition, vectors):
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            written += 1
    return written


def require_json_lines(path: object) -> Path:
    """Return the path of a `.jsonl` file, which is what `index` reads; ValueError for another."""
    if not isinstance(path, str | os.PathLike) or Path(path).suffix.lower() != JSON_LINES:
        raise ValueError(
            f"path is {str(path)!r:.200}; expected the name of a file that ends in {JSON_LINES}, "
            "which `index` reads back."
        )
    return Path(path)


def _lines(
    client: QdrantClient, name: str, where: models.Filter, vectors: bool
) -> Iterator[dict[str, Any]]:
    options: dict[str, Any] = {"with_vectors": [_DENSE_VECTOR]} if vectors else {}
    for record in scroll(client, name, where, with_payload=True, **options):
        document = as_indexed(name, stored_document(name, record))
        held = [{"source": h.source, "file": h.file} for h in holders_of(record)]
        yield {
            "id": document.id,
            "text": document.text,
            "metadata": dict(document.metadata),
            STAMP_KEY: {"sources": held, **_vector(record)},
        }


def _vector(record: models.Record) -> dict[str, Any]:
    """Return the vector as float32 holds it, in the fewest digits that read back the same."""
    vector: Any = record.vector
    dense = vector.get(_DENSE_VECTOR) if isinstance(vector, dict) else vector
    if dense is None:
        return {}
    return {"vector": [float(str(value)) for value in np.asarray(dense, dtype=np.float32)]}
