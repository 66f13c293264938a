"""Queries in Qdrant's terms, and Qdrant's points as hits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.documents import Hit
from llm2vec_gen_rag.qdrant.filters import Where, to_filter
from llm2vec_gen_rag.qdrant.hybrid.candidates import HybridQuery
from llm2vec_gen_rag.qdrant.points.malformed import require_well_formed
from llm2vec_gen_rag.qdrant.points.payload import read_id, read_payload


def nearest(
    client: QdrantClient,
    name: str,
    vectors: npt.NDArray[np.float32],
    k: int,
    where: Where | None,
) -> list[list[Hit]]:
    """Find the hits of each query vector in one request.

    Args:
        client: The collection's client.
        name: The collection.
        vectors: Query vectors, shape (queries, dimension).
        k: The most hits for each.
        where: What hits must have.

    Returns:
        The hits of each query, best first.
    """
    requests = [
        models.QueryRequest(
            query=vector.tolist(), limit=k, filter=to_filter(where), with_payload=True
        )
        for vector in vectors
    ]
    responses = client.query_batch_points(name, requests)
    return [[_to_hit(name, point) for point in response.points] for response in responses]


def hybrid(
    client: QdrantClient,
    name: str,
    query: str,
    vector: npt.NDArray[np.float32],
    k: int,
    where: Where | None,
    weight: float,
) -> list[Hit]:
    """Return the hits of a query's vector, (dimension,), and of its words; see `hybrid.fusion`."""
    asked = HybridQuery(client, name, query, vector.tolist(), to_filter(where))
    return [_to_hit(name, point) for point in asked.points(k, weight)]


def _to_hit(name: str, point: Any) -> Hit:
    payload = point.payload or {}
    require_well_formed(name, point.id, payload)
    text, metadata = read_payload(point.id, payload)
    return Hit(read_id(point.id, payload), point.score, text, metadata)
