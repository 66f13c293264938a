"""Documents as a collection stores them, got by their ids or listed page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.documents import Document, StoredDocument
from llm2vec_gen_rag.qdrant.points.ids import with_hit_ids
from llm2vec_gen_rag.qdrant.points.malformed import require_well_formed
from llm2vec_gen_rag.qdrant.points.pages import PAGE, batches, scroll
from llm2vec_gen_rag.qdrant.points.payload import read_id, read_payload, stamp_at
from llm2vec_gen_rag.qdrant.points.stamps import Holder


def get(client: QdrantClient, name: str, ids: Iterable[str]) -> list[StoredDocument]:
    """Return the documents that have one of these ids, in the order of the ids.

    Args:
        client: The collection's client.
        name: The collection.
        ids: Ids of hits. Those that no document has are left out.

    Returns:
        The documents; two sources may have one each under the same id.
    """
    wanted = dict.fromkeys(ids)
    found: dict[str, list[StoredDocument]] = {}
    for page in batches(wanted, PAGE):
        for record in scroll(client, name, with_hit_ids(page), with_payload=True):
            document = stored_document(name, record)
            found.setdefault(document.id, []).append(document)
    return [document for given in wanted for document in found.get(given, [])]


def each(client: QdrantClient, name: str, where: models.Filter | None) -> Iterator[StoredDocument]:
    """Yield the documents that pass a filter, reading no further than asked."""
    for record in scroll(client, name, where or models.Filter(), with_payload=True):
        yield stored_document(name, record)


def stored_document(name: str, record: models.Record) -> StoredDocument:
    """Return the document of a point; raise CollectionError if it cannot be read."""
    payload = record.payload or {}
    require_well_formed(name, record.id, payload)
    point = str(record.id)
    text, metadata = read_payload(point, payload)
    return StoredDocument(read_id(point, payload), text, metadata, _sources(holders_of(record)))


def holders_of(record: models.Record) -> list[Holder]:
    """Return who holds a point, in the order of names; nobody if a store wrote it."""
    stamp = stamp_at(str(record.id), record.payload or {})
    return sorted(stamp.holders) if stamp is not None else []


def as_indexed(name: str, stored: StoredDocument) -> Document:
    """Return the document that was indexed: without an id if it was given none.

    Args:
        name: The collection.
        stored: The document as it is stored, whose id then is that of its point.

    Returns:
        The document.

    Raises:
        CollectionError: Another client wrote what no `Document` can hold, such as NaN.
    """
    try:
        without_id = Document(stored.text, metadata=stored.metadata)
        is_named = stored.id != without_id.point_id
        return Document(stored.text, stored.id, stored.metadata) if is_named else without_id
    except ValueError as error:
        raise CollectionError(f"collection {name!r}: {error}") from error


def _sources(holders: list[Holder]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(holder.path or holder.source for holder in holders))
