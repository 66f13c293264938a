"""Read the stamps of points, and write points so that writers at the same time lose nothing.

Several processes may write to one server. Every write names the state of the point that it has
read, and does not apply to any other; what did not apply is read and decided anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.documents import Document
from llm2vec_gen_rag.qdrant.opening.local_folder import is_local
from llm2vec_gen_rag.qdrant.opening.shared_client import turn
from llm2vec_gen_rag.qdrant.points.complete import complete_point
from llm2vec_gen_rag.qdrant.points.payload import (
    STAMP_KEY,
    STATE_KEY,
    document_payload,
    restamped,
    stamp_at,
)
from llm2vec_gen_rag.qdrant.points.stamps import Stamp
from llm2vec_gen_rag.qdrant.writing.placing import Plan

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

ATTEMPTS = 10  # at points that other writers change at the same time
MAX_LENGTH = 512  # tokens that the model reads of a document: the length it is trained at


def read_stamps(client: QdrantClient, name: str, points: Iterable[str]) -> dict[str, Stamp | None]:
    """Return the stamps of those points that there are; None for one that no source wrote."""
    ids = sorted(set(points))
    records = client.retrieve(name, ids, with_payload=[STAMP_KEY]) if ids else []
    return {str(record.id): stamp_at(str(record.id), record.payload or {}) for record in records}


def carry_out(
    client: QdrantClient, name: str, model: LLM2VecGen, plan: Plan
) -> tuple[set[str], list[Document]]:
    """Write what a plan changes.

    What is new is written before anything is deleted: a run killed in between loses nothing.

    Args:
        client: The collection's client.
        name: The collection.
        model: Embeds what is new or has another text, in one call.
        plan: What to change.

    Returns:
        The points where another writer came first, so that nothing was written, and the documents
        that were embedded.
    """
    wanted = {point: plan.wanted[point] for point in plan.changed()}
    stored = {point: plan.stored[point] for point in wanted if point in plan.stored}
    texts = {point: stamp.text for point, stamp in stored.items()}
    to_embed = {p: d for p, d in plan.documents.items() if texts.get(p) != wanted[p].text}
    _write_documents(client, name, model, to_embed, stored, wanted)
    kept = {point: stamp for point, stamp in stored.items() if point not in to_embed}
    write_holders(client, name, kept, wanted, plan.documents)
    return missed(client, name, wanted), list(to_embed.values())


def write_holders(
    client: QdrantClient,
    name: str,
    stored: Mapping[str, Stamp],
    wanted: Mapping[str, Stamp],
    documents: Mapping[str, Document] = MappingProxyType({}),
) -> None:
    """Write other holders or metadata to points, and delete those that nobody holds any more.

    Args:
        client: The collection's client.
        name: The collection.
        stored: The stamps that were read, of the points to write.
        wanted: The stamps to write, of these points at least.
        documents: The new documents, of those points whose metadata changes.
    """
    kept = {point: stamp for point, stamp in stored.items() if wanted[point].holders}
    _rewrite_payloads(client, name, documents, kept, wanted)
    _delete_points(client, name, {p: s for p, s in stored.items() if p not in kept})


def _write_documents(
    client: QdrantClient,
    name: str,
    model: LLM2VecGen,
    documents: Mapping[str, Document],
    stored: Mapping[str, Stamp],
    wanted: Mapping[str, Stamp],
) -> None:
    """Embed documents and write them to their points, those that are new or as they were read.

    Args:
        client: The collection's client.
        name: The collection.
        model: Embeds them, in one call.
        documents: What to write, by point.
        stored: The stamps that were read.
        wanted: The stamps to write.
    """
    if not documents:
        return
    texts = [document.text for document in documents.values()]
    vectors = model.encode_document(texts, max_length=MAX_LENGTH)
    points = [
        complete_point(
            models.PointStruct(
                id=point,
                vector=vector.tolist(),
                payload=document_payload(document, wanted[point].holders, point),
            )
        )
        for (point, document), vector in zip(documents.items(), vectors, strict=True)
    ]
    client.upsert(name, points, update_filter=_as_read(stored, documents))


def _rewrite_payloads(
    client: QdrantClient,
    name: str,
    documents: Mapping[str, Document],
    stored: Mapping[str, Stamp],
    wanted: Mapping[str, Stamp],
) -> None:
    """Write new payloads, or new holders alone, to points that keep their vectors.

    Args:
        client: The collection's client.
        name: The collection.
        documents: The new documents, of those points whose metadata changes.
        stored: The stamps that were read, of the points to write.
        wanted: The stamps to write, of these points at least.
    """
    with turn(client):
        payloads = {
            point: document_payload(documents[point], wanted[point].holders, point)
            if point in documents
            else restamped(payload, wanted[point], point)
            for point, payload in _payloads_as_read(client, name, stored).items()
        }
        operations = [
            models.OverwritePayloadOperation(
                overwrite_payload=_overwriting(client, point, stored, payload)
            )
            for point, payload in payloads.items()
        ]
        if operations:
            client.batch_update_points(name, operations)


def _delete_points(client: QdrantClient, name: str, stored: Mapping[str, Stamp]) -> None:
    """Delete points that are still as they were read."""
    with turn(client):
        ids = [*_payloads_as_read(client, name, stored)]
        if ids and is_local(client):
            client.delete(name, models.PointIdsList(points=[*ids]))
        elif ids:
            client.delete(name, models.FilterSelector(filter=_only(ids, stored)))


def missed(client: QdrantClient, name: str, wanted: Mapping[str, Stamp]) -> set[str]:
    """Return the points where another writer came first, so that ours did not apply."""
    now = read_stamps(client, name, wanted)
    expected = {point: stamp if stamp.holders else None for point, stamp in wanted.items()}
    return {point for point, stamp in expected.items() if now.get(point) != stamp}


def contention(name: str, documents: int) -> str:
    """Return the error for documents that other writers change at every attempt."""
    return (
        f"Other processes keep changing {documents} of the documents in collection {name!r} that "
        "are written here; expected a moment without. Run again when they are done."
    )


def _payloads_as_read(
    client: QdrantClient, name: str, stored: Mapping[str, Stamp]
) -> dict[str, dict[str, Any]]:
    """Return the payloads of the points whose stamps are still as they were read."""
    if not stored:
        return {}
    records = client.retrieve(name, sorted(stored), with_payload=True)
    payloads = {str(record.id): record.payload or {} for record in records}
    return {p: payload for p, payload in payloads.items() if stamp_at(p, payload) == stored[p]}


def _overwriting(
    client: QdrantClient, point: str, stored: Mapping[str, Stamp], payload: dict[str, Any]
) -> models.SetPayload:
    if is_local(client):  # whose turn is held, and a filter would look at every point
        return models.SetPayload(payload=payload, points=[point])
    return models.SetPayload(payload=payload, filter=_only([point], stored))


def _only(points: list[str], stored: Mapping[str, Stamp]) -> models.Filter:
    """Return the filter of these points in the states that were read."""
    ids: list[models.ExtendedPointId] = [*points]
    return models.Filter(must=[models.HasIdCondition(has_id=ids), _in_state(stored, points)])


def _as_read(stored: Mapping[str, Stamp], points: Iterable[str]) -> models.Filter:
    """Return what an upsert may replace, beside adding points: those that are as they were read."""
    return models.Filter(must=[_in_state(stored, points)])


def _in_state(stored: Mapping[str, Stamp], points: Iterable[str]) -> models.FieldCondition:
    states = [stored[point].state(point) for point in points if point in stored]
    # no point is in the state "", but a condition must name one
    return models.FieldCondition(key=STATE_KEY, match=models.MatchAny(any=states or [""]))
