"""Put our vector into the points of others that lack it, and change nothing else of them.

What has been done is seen by the points that have the vector: a run that was stopped goes on from
there, and a point that its program writes anew, which replaces all its vectors, is embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.adopting.texts import Texts
from llm2vec_gen_rag.qdrant.opening.shared_client import turn
from llm2vec_gen_rag.qdrant.points.pages import batches, scroll
from llm2vec_gen_rag.qdrant.writing.as_read import ATTEMPTS, MAX_LENGTH, contention
from llm2vec_gen_rag.qdrant.writing.indexing import rows_cut

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen


@dataclass(frozen=True)
class AdoptionReport:
    """What adopting did, in points.

    Attributes:
        embedded: Given a vector now.
        unchanged: Had one already.
        without_text: Have no text where it was looked for, and so no vector.
        truncated: Of those embedded now, the ones too long for the model, which read their
            beginning only.
    """

    embedded: int
    unchanged: int
    without_text: int
    truncated: int


@dataclass(frozen=True)
class Target:
    """Where vectors go.

    Attributes:
        client: The collection's client.
        name: The collection.
        vector: The name of our vector.
        texts: How texts are read.
    """

    client: QdrantClient
    name: str
    vector: str
    texts: Texts

    def lacking(self) -> models.Filter:
        """Return the filter of the points that lack the vector."""
        return models.Filter(must_not=[models.HasVectorCondition(has_vector=self.vector)])

    def now(self, points: list[Any]) -> dict[Any, str | None]:
        """Return the texts of those points that there are."""
        records = self.client.retrieve(self.name, points, with_payload=True) if points else []
        return {record.id: self.texts.text(record.payload) for record in records}


def embed_missing(
    target: Target, model: LLM2VecGen, batch_size: int, advance: Callable[[int], object]
) -> AdoptionReport:
    """Embed the points that lack the vector, batch by batch.

    Args:
        target: Where to.
        model: Embeds the texts.
        batch_size: Points embedded and written together.
        advance: Called with the number of points after each batch.

    Returns:
        What was done.
    """
    lacking = target.client.count(target.name, count_filter=target.lacking()).count
    unchanged = int(target.client.count(target.name).count - lacking)
    embedded = without_text = truncated = 0
    records = scroll(target.client, target.name, target.lacking(), with_payload=True)
    for batch in batches(records, batch_size):
        texts = {record.id: target.texts.text(record.payload) for record in batch}
        wanted = {point: text for point, text in texts.items() if text is not None}
        embedded += _embed_batch(target, model, wanted)
        truncated += len(rows_cut(model, list(wanted.values())))
        without_text += len(texts) - len(wanted)
        advance(len(batch))
    return AdoptionReport(embedded, unchanged, without_text, truncated)


def _embed_batch(target: Target, model: LLM2VecGen, wanted: Mapping[Any, str]) -> int:
    """Write the vectors of points whose texts may change meanwhile; return how many have one."""
    pending, written = dict(wanted), set[Any]()
    for _ in range(ATTEMPTS):
        if not pending:
            return len(written)
        vectors = model.encode_document(list(pending.values()), max_length=MAX_LENGTH)
        by_point = dict(zip(pending, vectors.tolist(), strict=True))
        with turn(target.client):
            there = target.now(list(pending))
            same = [point for point, text in pending.items() if there.get(point) == text]
            _write(target, {point: by_point[point] for point in same})
        written.update(same)
        now = target.now(list(pending))  # another program may have come in between
        pending = {
            point: text
            for point, text in now.items()
            if text is not None and not (point in same and text == pending[point])
        }
    raise CollectionError(contention(target.name, len(pending)))


def _write(target: Target, vectors: Mapping[Any, list[float]]) -> None:
    if vectors:
        points = [
            models.PointVectors(id=point, vector={target.vector: vector})
            for point, vector in vectors.items()
        ]
        target.client.update_vectors(target.name, points)
