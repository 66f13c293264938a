"""Points as both frameworks and hybrid search need them, from every shape that Qdrant takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from qdrant_client import models

from llm2vec_gen_rag.qdrant.json_values import require_json, require_text
from llm2vec_gen_rag.qdrant.points.bm25 import SPARSE_VECTOR, document_vector
from llm2vec_gen_rag.qdrant.points.ids import point_id, require_one_spelling
from llm2vec_gen_rag.qdrant.points.payload import (
    METADATA_KEY,
    NODE_KEY,
    STAMP_KEY,
    TEXT_KEY,
    complete_payload,
    node_metadata,
    node_text,
    read_node,
    same_json,
    stamp_of,
)

_DENSE_VECTOR = ""


def complete_point(point: models.PointStruct) -> models.PointStruct:
    """Return the point with both halves of its payload, its sparse vector and an id of Qdrant's.

    Args:
        point: What a framework or a user writes: an id of any kind, the vector, half a payload.

    Returns:
        A new point.

    Raises:
        ValueError: It has no text, no vector, or a payload that is not JSON or disagrees with
            itself.
    """
    payload = _checked_payload(point)
    stored = point_id(point.id)
    given = point.id if isinstance(point.id, int) else str(point.id)
    stamp = stamp_of(payload)
    if given != stored:
        stamp = {"id": given}
    payload.pop(STAMP_KEY, None)
    payload = complete_payload(given, {**payload, STAMP_KEY: stamp} if stamp else payload)
    vectors = _dense_vector(point) | _sparse_vector(payload[TEXT_KEY])
    return models.PointStruct(id=stored, vector=vectors, payload=payload)


def checked_points(points: models.Batch | Iterable[Any]) -> Iterator[models.PointStruct]:
    """Yield the complete points of what a caller writes in one call.

    Args:
        points: What `QdrantClient.upsert` takes.

    Yields:
        Each point, as `checked_point` returns it.

    Raises:
        ValueError: As `as_points` and `checked_point`, or two ids are spellings of one UUID.
    """
    spellings: dict[str, str] = {}
    for point in as_points(points):
        complete = checked_point(point)
        require_one_spelling(point.id, spellings)
        yield complete


def checked_point(point: models.PointStruct) -> models.PointStruct:
    """Return the complete point of what a caller writes, who may write what a `Document` may.

    What another client wrote is completed as it is, by `complete_point`.

    Args:
        point: What a framework or a user writes.

    Returns:
        A new point.

    Raises:
        ValueError: As `complete_point`, or a value in it would not come back as it was.
    """
    payload = point.payload or {}
    for name, value in payload.items():
        require_text(f"a name in the payload of point {point.id!r}", name)
        require_json(f"{name!r} of point {point.id!r}", value, to_jsonable_python)
    complete = complete_point(point)
    whole = complete.payload or {}  # its node was JSON text above, which hides what it holds
    require_text(f"the text of point {point.id!r}", whole[TEXT_KEY])
    require_json(f"the metadata of point {point.id!r}", whole[METADATA_KEY])
    return complete


def as_points(points: models.Batch | Iterable[Any]) -> Iterator[models.PointStruct]:
    """Yield the points of a batch, or of an iterable of points or of their fields.

    Args:
        points: What `QdrantClient.upsert` takes.

    Yields:
        Each point.

    Raises:
        ValueError: Something else is among them, or a batch has not one of each for every point.
    """
    if isinstance(points, models.Batch):
        yield from _points_of_batch(points)
        return
    if isinstance(points, BaseModel | Mapping | str) or not isinstance(points, Iterable):
        raise ValueError(
            f"points is a {type(points).__name__}; expected a list of "
            "qdrant_client.models.PointStruct, or a qdrant_client.models.Batch."
        )
    for position, point in enumerate(points):
        if isinstance(point, Mapping):
            yield models.PointStruct(**point)
        elif isinstance(point, models.PointStruct):
            yield point
        else:
            raise ValueError(
                f"points[{position}] is a {type(point).__name__}; expected a "
                "qdrant_client.models.PointStruct."
            )


def points_of(
    vectors: Any, payloads: Iterable[Any], ids: Iterable[Any]
) -> Iterator[models.PointStruct]:
    """Yield points from their vectors, payloads and ids.

    Args:
        vectors: Vectors, or an array of them, or either by the vectors' names.
        payloads: As many payloads or more.
        ids: As many ids or more.

    Yields:
        Each point.

    Raises:
        ValueError: There are fewer payloads or ids than vectors.
    """
    payloads_left, ids_left = iter(payloads), iter(ids)
    for position, vector in enumerate(_rows(vectors)):
        payload, given = next(payloads_left, None), next(ids_left, None)
        if payload is None or given is None:
            raise ValueError(
                f"the vector at position {position} has no payload or no id; expected both for "
                f"every vector, and in the payload the text as {TEXT_KEY!r}."
            )
        yield models.PointStruct(id=given, vector=vector, payload=payload)


def _points_of_batch(batch: models.Batch) -> Iterator[models.PointStruct]:
    payloads = batch.payloads or []
    number = sum(1 for _ in _rows(batch.vectors))
    if not number == len(batch.ids) == len(payloads):
        raise ValueError(
            f"the batch has {len(batch.ids)} ids, {number} vectors and {len(payloads)} payloads; "
            "expected one of each for every point."
        )
    return points_of(batch.vectors, payloads, batch.ids)


def _rows(vectors: Any) -> Iterator[Any]:
    if isinstance(vectors, Mapping):
        names = list(vectors)
        for row in zip(*map(_rows, vectors.values()), strict=True):
            yield dict(zip(names, row, strict=True))
        return
    for vector in vectors:
        yield vector.tolist() if isinstance(vector, np.ndarray) else vector


def _checked_payload(point: models.PointStruct) -> dict[str, Any]:
    """Return the payload as JSON holds it, with a text; raise ValueError for any other."""
    try:
        content = json.dumps(point.payload or {}, default=to_jsonable_python)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the payload of point {point.id!r} is not JSON: {error}") from error
    payload: dict[str, Any] = json.loads(content)
    node = read_node(payload)
    if node is not None:
        _check_halves_agree(point, payload, node)
        return payload
    text, metadata = payload.get(TEXT_KEY), payload.get(METADATA_KEY)
    if isinstance(text, str) and isinstance(metadata, dict | None):
        return payload
    raise ValueError(
        f"point {point.id!r} has no text: its payload has the names {sorted(payload)}. Expected "
        f"{{{TEXT_KEY!r}: text, {METADATA_KEY!r}: {{...}}}} as LangChain writes it, or "
        f"{NODE_KEY!r} as LlamaIndex does."
    )


def _check_halves_agree(
    point: models.PointStruct, payload: Mapping[str, Any], node: Mapping[str, Any]
) -> None:
    metadata = node_metadata(node)
    for name, in_node in ((TEXT_KEY, node_text(node)), (METADATA_KEY, metadata)):
        if name not in payload or same_json(payload[name], in_node):
            continue
        # not LangChain's half, but LlamaIndex's flat copy of metadata that has this name
        if name in metadata and same_json(payload[name], metadata[name]):
            continue
        raise ValueError(
            f"the payload of point {point.id!r} has another {name!r} than its {NODE_KEY!r} says; "
            f"expected the same. To change a point, leave {NODE_KEY!r} out: it is written anew."
        )


def _dense_vector(point: models.PointStruct) -> dict[str, Any]:
    vectors: Any = point.vector if isinstance(point.vector, dict) else {_DENSE_VECTOR: point.vector}
    if not isinstance(vectors.get(_DENSE_VECTOR), list):
        raise ValueError(
            f"point {point.id!r} has no vector of numbers; expected the embedding of its text by "
            "this collection's model, as a list or under the name ''."
        )
    return {name: vector for name, vector in vectors.items() if name != SPARSE_VECTOR}


def _sparse_vector(text: str) -> dict[str, Any]:
    sparse = document_vector(text)
    return {SPARSE_VECTOR: sparse} if sparse.indices else {}
