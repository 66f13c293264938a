"""Write documents as points: only new or changed texts are embedded; a second run changes nothing.

Each batch is looked up, embedded, written and waited for before the next. A run that is killed
leaves complete points, which the next run finds by their ids and stamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.complete_points import complete_point
from llm2vec_gen_rag.qdrant.documents import Document, IndexReport, Stamp
from llm2vec_gen_rag.qdrant.payload import (
    SOURCE_KEY,
    STAMP_KEY,
    document_payload,
    lacks_half,
    read_stamp,
)
from llm2vec_gen_rag.qdrant.point_ids import stored_ids

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

MAX_LENGTH = 512  # tokens that the model reads of a document: the length it is trained at

Item = TypeVar("Item")

_PAGE = 256  # points a request


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of ``size``, reading no further than asked."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def index_batch(
    client: QdrantClient, name: str, model: LLM2VecGen, documents: Sequence[Document], source: str
) -> IndexReport:
    """Write the documents that are new or changed.

    If an id occurs twice, the later document replaces the earlier one.

    Args:
        client: The collection's client.
        name: The collection.
        model: Embeds what is new or changed, in one call.
        documents: One batch.
        source: Where the documents come from.

    Returns:
        What was done with these documents.

    Raises:
        ValueError: Something else than a `Document` is among them.
    """
    for document in documents:
        _check_document(document)
    stored = _stored_stamps(client, name, {document.point_id for document in documents})
    known = dict(stored)
    changed: dict[str, Document] = {}
    report = IndexReport()
    for document in documents:
        stamp = Stamp.of(document, source)
        before = known.get(document.point_id)
        if before == stamp:
            report += IndexReport(unchanged=1)
            continue
        report += IndexReport(added=1) if before is None else IndexReport(replaced=1)
        known[document.point_id] = stamp
        changed[document.point_id] = document

    def same_text(document: Document) -> bool:
        before = stored.get(document.point_id)
        return before is not None and before.text == known[document.point_id].text

    _rewrite_payloads(client, name, [d for d in changed.values() if same_text(d)], source)
    to_embed = [d for d in changed.values() if not same_text(d)]
    _write_points(client, name, model, to_embed, source)
    return report + IndexReport(truncated=_count_truncated(model, to_embed))


def prune(client: QdrantClient, name: str, source: str, seen: set[str]) -> int:
    """Delete the points of ``source`` whose ids were not seen, and return their number."""
    of_source = models.Filter(
        must=[models.FieldCondition(key=SOURCE_KEY, match=models.MatchValue(value=source))]
    )
    stored = (str(record.id) for record in _scroll(client, name, of_source, with_payload=False))
    vanished: list[models.ExtendedPointId] = [pid for pid in stored if pid not in seen]
    for start in range(0, len(vanished), _PAGE):
        client.delete(name, models.PointIdsList(points=vanished[start : start + _PAGE]))
    return len(vanished)


def delete(client: QdrantClient, name: str, document_ids: Iterable[str]) -> None:
    """Delete the points whose hits have these ids; unknown ids are no error."""
    ids = list(document_ids)
    for position, document_id in enumerate(ids):
        if not isinstance(document_id, str):
            raise ValueError(
                f"ids[{position}] is {document_id!r}; expected a str, as `Hit.id` always is."
            )
    for page in batches((point for each in ids for point in stored_ids(each)), _PAGE):
        client.delete(name, models.PointIdsList(points=page))


def adopt(client: QdrantClient, name: str) -> int:
    """Complete the points that lack a half, by upserting them; return how many."""
    everything = _scroll(client, name, models.Filter(), with_payload=True)
    incomplete = (r.id for r in everything if lacks_half(str(r.id), r.payload or {}))
    adopted = 0
    for page in batches(incomplete, _PAGE):
        records = client.retrieve(name, page, with_payload=True, with_vectors=True)
        client.upsert(name, [complete_point(_as_point(record)) for record in records])
        adopted += len(records)
    return adopted


def _scroll(
    client: QdrantClient, name: str, where: models.Filter, **options: Any
) -> Iterator[models.Record]:
    """Yield the points that pass a filter, in the order of ids, reading no further than asked."""
    offset: Any = None
    while True:
        records, offset = client.scroll(
            name, scroll_filter=where, limit=_PAGE, offset=offset, **options
        )
        yield from records
        if offset is None:
            return


def _as_point(record: models.Record) -> models.PointStruct:
    vector: Any = record.vector  # its type is that of reading, which writing accepts
    return models.PointStruct(id=record.id, vector=vector, payload=record.payload)


def _check_document(document: object) -> None:
    if not isinstance(document, Document):
        raise ValueError(
            f"got a {type(document).__name__} to index; expected llm2vec_gen_rag.qdrant.Document: "
            "wrap a text as Document(text). What comes from LangChain or LlamaIndex goes in "
            "through as_langchain() or as_llama_index()."
        )


def _stored_stamps(client: QdrantClient, name: str, ids: set[str]) -> dict[str, Stamp]:
    records = client.retrieve(name, sorted(ids), with_payload=[STAMP_KEY])
    stamps = {str(record.id): read_stamp(record.payload or {}) for record in records}
    return {point_id: stamp for point_id, stamp in stamps.items() if stamp is not None}


def _write_points(
    client: QdrantClient, name: str, model: LLM2VecGen, documents: Sequence[Document], source: str
) -> None:
    if not documents:
        return
    texts = [document.text for document in documents]
    vectors = model.encode_document(texts, max_length=MAX_LENGTH)
    client.upsert(
        name,
        [
            complete_point(
                models.PointStruct(
                    id=document.point_id,
                    vector=vector.tolist(),
                    payload=document_payload(document, source),
                )
            )
            for document, vector in zip(documents, vectors, strict=True)
        ],
    )


def _count_truncated(model: LLM2VecGen, documents: Sequence[Document]) -> int:
    """Return how many texts do not fit between their instruction and the response tokens."""
    room = MAX_LENGTH - len(model.response_tokens)
    texts = [model.prompts.document + document.text for document in documents]
    # no token but a BOS is shorter than a byte, so most texts need no counting
    maybe = [text for text in texts if len(text.encode()) >= room]
    return sum(len(ids) > room for ids in model.text_tokenizer.token_ids(maybe))


def _rewrite_payloads(
    client: QdrantClient, name: str, documents: Sequence[Document], source: str
) -> None:
    if not documents:
        return
    client.batch_update_points(
        name,
        [
            models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(
                    payload=document_payload(document, source), points=[document.point_id]
                )
            )
            for document in documents
        ],
    )
