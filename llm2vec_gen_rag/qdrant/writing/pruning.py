"""Remove what its sources no longer hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.documents import IndexReport
from llm2vec_gen_rag.qdrant.points.pages import PAGE, batches, scroll
from llm2vec_gen_rag.qdrant.points.payload import SOURCE_KEY, STAMP_KEY, stamp_at
from llm2vec_gen_rag.qdrant.points.stamps import Holder, Stamp
from llm2vec_gen_rag.qdrant.writing.as_read import (
    ATTEMPTS,
    contention,
    missed,
    read_stamps,
    write_holders,
)
from llm2vec_gen_rag.qdrant.writing.placing import without

_MOST_SOURCES = 100_000


def prune(
    client: QdrantClient,
    name: str,
    sources: Sequence[str],
    lets_go: Callable[[str, Holder], bool],
    *,
    may_empty: bool = True,
    what: str | None = None,
) -> IndexReport:
    """Take holders from points, and delete the points that nobody holds any more.

    Args:
        client: The collection's client.
        name: The collection.
        sources: Whose points to look at.
        lets_go: Whether a holder no longer holds a point.
        may_empty: Whether any document may go; False if the source gave none.
        what: What gave the documents, for the error; None names the first of the sources.

    Returns:
        How many documents were removed.

    Raises:
        CollectionError: Something would go and must not, or other writers change it all the time.
    """
    held = dict(held_by(client, name, sources))
    letting_go = {p: s for p, s in held.items() if any(lets_go(p, holder) for holder in s.holders)}
    if letting_go and not may_empty:
        raise CollectionError(
            f"{what or sources[0]} gave no document, and the {len(letting_go)} that the "
            "collection holds from it would be removed; expected some of them. If it is "
            "unmounted or not ready, make it available; if it is meant to be empty, allow that: "
            "--allow-empty on the command line, allow_empty=True in Python."
        )
    removed = 0
    for page in batches(letting_go.items(), PAGE):
        removed += _let_go(client, name, dict(page), lets_go)
    return IndexReport(removed=removed)


def held_by(client: QdrantClient, name: str, sources: Sequence[str]) -> Iterator[tuple[str, Stamp]]:
    """Yield the points that any of these sources holds, and their stamps."""
    of_sources = models.Filter(
        must=[models.FieldCondition(key=SOURCE_KEY, match=models.MatchAny(any=[*sources]))]
    )
    for record in scroll(client, name, of_sources, with_payload=[STAMP_KEY]):
        if stamp := stamp_at(str(record.id), record.payload or {}):
            yield str(record.id), stamp


def source_names(client: QdrantClient, name: str) -> list[str]:
    """Return the sources that hold something."""
    found = client.facet(name, key=SOURCE_KEY, limit=_MOST_SOURCES, exact=True)
    return [str(hit.value) for hit in found.hits]


def _let_go(
    client: QdrantClient,
    name: str,
    stored: dict[str, Stamp],
    lets_go: Callable[[str, Holder], bool],
) -> int:
    """Take the holders from one page of points, and return how many points are deleted."""
    removed = 0
    for _ in range(ATTEMPTS):
        wanted = {
            point: without(stamp, {holder for holder in stamp.holders if lets_go(point, holder)})
            for point, stamp in stored.items()
        }
        write_holders(client, name, stored, wanted)
        late = missed(client, name, wanted)
        removed += sum(not stamp.holders for p, stamp in wanted.items() if p not in late)
        if not late:
            return removed
        now = read_stamps(client, name, late)
        stored = {point: stamp for point, stamp in now.items() if stamp is not None}
    raise CollectionError(contention(name, len(stored)))
