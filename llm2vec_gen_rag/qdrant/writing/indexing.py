"""Write documents as points: only new or changed texts are embedded; a second run changes nothing.

Each batch is looked up, embedded, written and waited for before the next. A run that is killed
leaves complete points, which the next run finds by their ids and stamps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.arguments import text_room
from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.documents import Document, IndexReport
from llm2vec_gen_rag.qdrant.points.complete import complete_point
from llm2vec_gen_rag.qdrant.points.ids import with_hit_ids
from llm2vec_gen_rag.qdrant.points.malformed import require_well_formed
from llm2vec_gen_rag.qdrant.points.pages import PAGE, batches, scroll
from llm2vec_gen_rag.qdrant.points.payload import lacks_half
from llm2vec_gen_rag.qdrant.points.stamps import Holder, Stamp
from llm2vec_gen_rag.qdrant.writing.as_read import (
    ATTEMPTS,
    MAX_LENGTH,
    carry_out,
    contention,
    read_stamps,
)
from llm2vec_gen_rag.qdrant.writing.beside import points_beside
from llm2vec_gen_rag.qdrant.writing.placing import Plan, candidates, is_settled

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

Given: TypeAlias = tuple[Document, Holder]
Key: TypeAlias = tuple[str, Holder]


def index_all(
    client: QdrantClient,
    name: str,
    model: LLM2VecGen,
    given: Iterable[Given],
    batch_size: int,
    advance: Callable[[int], object],
    seen: dict[Holder, set[str]] | None = None,
) -> IndexReport:
    """Index documents batch by batch.

    Args:
        client: The collection's client.
        name: The collection.
        model: Embeds what is new or changed.
        given: Documents and who holds them, read no further than needed.
        batch_size: Documents looked up, embedded and written together.
        advance: Called with the number of documents after each batch.
        seen: Gets the points that each holder now holds, for `pruning.prune`.

    Returns:
        What was done with the documents.
    """
    report = IndexReport()
    for batch in batches(_with_one_content(given), batch_size):
        report += index_batch(client, name, model, batch)
        if seen is not None:
            for document, holder in batch:
                seen.setdefault(holder, set()).update(candidates(document))
        advance(len(batch))
    return report


def index_batch(
    client: QdrantClient, name: str, model: LLM2VecGen, given: Sequence[Given]
) -> IndexReport:
    """Write the documents that are new or changed, and who holds them.

    Args:
        client: The collection's client.
        name: The collection.
        model: Embeds what is new or changed, in one call.
        given: One batch of documents and their holders.

    Returns:
        What was done with these documents.

    Raises:
        CollectionError: Other writers change the same documents all the time.
    """
    pending = {(document.point_id, holder): document for document, holder in given}
    report = IndexReport(unchanged=len(given) - len(pending))  # given twice
    for _ in range(ATTEMPTS):
        places, found = _look_up(client, name, pending)
        plan = Plan(found)
        outcomes = {key: plan.place(d, key[1], places[key]) for key, d in pending.items()}
        late, embedded = carry_out(client, name, model, plan)
        cut = _truncated_ids(model, embedded)
        report += IndexReport(truncated=len(cut), truncated_ids=cut)
        again = {key: d for key, d in pending.items() if late.intersection(places[key])}
        for key in pending.keys() - again.keys():
            counted: dict[str, Any] = {outcomes[key]: 1}
            report += IndexReport(**counted)
        if not again:
            return report
        pending = again
    raise CollectionError(contention(name, len(pending)))


def delete(client: QdrantClient, name: str, document_ids: Iterable[str]) -> None:
    """Delete the points whose hits have these ids; unknown ids are no error."""
    for page in batches(document_ids, PAGE):
        client.delete(name, models.FilterSelector(filter=with_hit_ids(page)))


def adopt(client: QdrantClient, name: str) -> int:
    """Complete the points that lack a half, by upserting them; return how many.

    Args:
        client: The collection's client.
        name: The collection.

    Returns:
        The number of points.

    Raises:
        CollectionError: A point cannot be read or completed; those before it are.
    """
    adopted = 0
    for page in batches(_incomplete(client, name), PAGE):
        records = client.retrieve(name, page, with_payload=True, with_vectors=True)
        client.upsert(name, [_completed(name, record) for record in records])
        adopted += len(records)
    return adopted


def _incomplete(client: QdrantClient, name: str) -> Iterator[int | str | UUID]:
    for record in scroll(client, name, models.Filter(), with_payload=True):
        payload = record.payload or {}
        require_well_formed(name, record.id, payload)
        if lacks_half(str(record.id), payload):
            yield record.id


def _completed(name: str, record: models.Record) -> models.PointStruct:
    vector: Any = record.vector  # its type is that of reading, which writing accepts
    point = models.PointStruct(id=record.id, vector=vector, payload=record.payload)
    try:
        return complete_point(point)
    except ValueError as error:  # which the caller did not write
        raise CollectionError(f"collection {name!r}: {error}") from error


def _with_one_content(given: Iterable[Given]) -> Iterator[Given]:
    """Yield what is given, as long as no holder has two contents under one id."""
    first: dict[tuple[str, Holder], tuple[str, int]] = {}
    for position, (document, holder) in enumerate(given):
        _check_document(document)
        if document.id is not None:  # without one, another content is another document
            content = Stamp.of(document, ()).content
            known, where = first.setdefault((document.id, holder), (content, position))
            if known != content:
                raise ValueError(
                    f"documents[{position}] has the id {document.id!r}, and so has "
                    f"documents[{where}], with another text or other metadata; expected ids that "
                    "occur once in a source. Change one of the two."
                )
        yield document, holder


def _look_up(
    client: QdrantClient, name: str, pending: Mapping[Key, Document]
) -> tuple[dict[Key, list[str]], dict[str, Stamp | None]]:
    """Return the points where each document may be, and what is there now."""
    places = {key: [*candidates(document)] for key, document in pending.items()}
    found = read_stamps(client, name, chain.from_iterable(places.values()))
    unsettled = {
        of_id
        for (of_id, holder), document in pending.items()
        if not is_settled(found, document, holder)
    }
    beside = points_beside(client, name, unsettled)
    found |= read_stamps(client, name, chain.from_iterable(beside.values()))
    for (of_id, holder), points in places.items():
        points += [p for p in beside.get(of_id, ()) if (s := found.get(p)) and holder in s.holders]
    return places, found


def _check_document(document: object) -> None:
    if not isinstance(document, Document):
        raise ValueError(
            f"got a {type(document).__name__} to index; expected llm2vec_gen_rag.qdrant.Document: "
            "wrap a text as Document(text). What comes from LangChain or LlamaIndex goes in "
            "through as_langchain() or as_llama_index()."
        )


def _truncated_ids(model: LLM2VecGen, documents: Sequence[Document]) -> tuple[str, ...]:
    """Return the ids of texts that do not fit between their instruction and the response tokens."""
    cut = [documents[row] for row in rows_cut(model, [document.text for document in documents])]
    return tuple(document.point_id if document.id is None else document.id for document in cut)


def rows_cut(model: LLM2VecGen, texts: Sequence[str]) -> list[int]:
    """Return the rows of texts that do not fit between their instruction and the response tokens.

    Args:
        model: embeds them.
        texts: of documents.

    Returns:
        Their rows, in order.
    """
    room = text_room(MAX_LENGTH, len(model.response_tokens), model.positions)
    whole = [model.prompts.document + text for text in texts]
    # no token but a BOS is shorter than a byte, so most texts need no counting
    maybe = [row for row, text in enumerate(whole) if len(text.encode()) >= room]
    counted = model.text_tokenizer.token_ids([whole[row] for row in maybe])
    return [row for row, ids in zip(maybe, counted, strict=True) if len(ids) > room]
