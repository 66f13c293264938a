"""The candidates of hybrid search in Qdrant, each with both of its scores.

A document that is among the best by one score has the other one too, however low: two requests, and
one for the words of the best document by words. Qdrant's own fusion takes what is not among the
best of a ranking for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.hybrid.fusion import DEPTH, fused_scores, ranking
from llm2vec_gen_rag.qdrant.points.bm25 import SPARSE_VECTOR, query_vector, share_of_words

Scored = dict[str | None, list[models.ScoredPoint]]  # by the name of the vector


@dataclass(frozen=True)
class HybridQuery:
    """A query's vector and its words, and where Qdrant looks for them.

    Attributes:
        client: The collection's client.
        name: The collection.
        text: The query. One without words is found by its vector alone.
        vector: Its embedding.
        condition: What points must have.
        params: Of Qdrant's search by vectors.
        consistency: Of Qdrant's reads.
    """

    client: QdrantClient
    name: str
    text: str
    vector: Sequence[float]
    condition: models.Filter | None = None
    params: models.SearchParams | None = None
    consistency: Any = None

    def points(self, k: int, weight: float, depth: int = DEPTH) -> list[models.ScoredPoint]:
        """Return the best points by both scores; see `fusion`.

        Args:
            k: The most points.
            weight: Of the embedding, in [0, 1].
            depth: How many of each ranking are candidates, at least.

        Returns:
            The points with their payloads and fused scores, best first.
        """
        found = self._best(max(k, depth, DEPTH))
        points = {point.id: point for each in found.values() for point in each}
        lacking = {using: set(points) - {p.id for p in each} for using, each in found.items()}
        rest = self._scored({using: ids for using, ids in lacking.items() if ids})
        scores = {u: {p.id: p.score for p in found[u] + rest.get(u, [])} for u in found}
        worded = found.get(SPARSE_VECTOR, [])
        share = self._share(worded[0]) if worded else 0.0
        return _fused(points, scores[None], scores.get(SPARSE_VECTOR, {}), share, weight)[:k]

    def _share(self, best: models.ScoredPoint) -> float:
        """Return which share of the query's words a point has; 0 if it was deleted meanwhile."""
        records = self.client.retrieve(
            self.name,
            [best.id],
            with_payload=False,
            with_vectors=[SPARSE_VECTOR],
            consistency=self.consistency,
        )
        if not records:
            return 0.0
        vectors: Any = records[0].vector
        return share_of_words(query_vector(self.text), vectors[SPARSE_VECTOR])

    def _best(self, limit: int) -> Scored:
        """Return the best points by the vector, and by the words if there are any."""
        usings: list[str | None] = [None]
        if query_vector(self.text).indices:
            usings.append(SPARSE_VECTOR)
        return self._send({using: self._request(using, self.condition, limit) for using in usings})

    def _scored(self, ids: dict[str | None, set[Any]]) -> Scored:
        """Return the scores of points by the vectors that are named; none for none of the words."""
        conditions = {
            using: models.Filter(must=[models.HasIdCondition(has_id=list(each))])
            for using, each in ids.items()
        }
        return self._send({u: self._request(u, c, len(ids[u])) for u, c in conditions.items()})

    def _request(
        self, using: str | None, condition: models.Filter | None, limit: int
    ) -> models.QueryRequest:
        return models.QueryRequest(
            query=query_vector(self.text) if using else list(self.vector),
            using=using,
            filter=condition,
            limit=limit,
            params=self.params,
            with_payload=condition is self.condition,
        )

    def _send(self, requests: dict[str | None, models.QueryRequest]) -> Scored:
        if not requests:
            return {}
        responses = self.client.query_batch_points(
            self.name, list(requests.values()), consistency=self.consistency
        )
        return {u: each.points for u, each in zip(requests, responses, strict=True)}


def _fused(
    points: dict[Any, models.ScoredPoint],
    cosines: dict[Any, float],
    words: dict[Any, float],
    share: float,
    weight: float,
) -> list[models.ScoredPoint]:
    """Return the points that still have a cosine, by their fused scores."""
    there = [point for point in points.values() if point.id in cosines]  # deleted meanwhile
    if not there:
        return []
    both = (
        np.array([cosines[point.id] for point in there]),
        np.array([words.get(point.id, 0.0) for point in there]),
    )
    scores = fused_scores(*both, share, weight)
    return [
        there[place].model_copy(update={"score": float(scores[place])})
        for place in ranking(*both, share, weight)
    ]
