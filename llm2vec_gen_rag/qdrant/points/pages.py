"""Many points, a page at a time: what is given in batches, and what passes a filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

Item = TypeVar("Item")

PAGE = 256  # points a request


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of ``size``, reading no further than asked."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def scroll(
    client: QdrantClient, name: str, where: models.Filter, **options: Any
) -> Iterator[models.Record]:
    """Yield the points that pass a filter, in the order of ids, reading no further than asked."""
    offset: Any = None
    while True:
        records, offset = client.scroll(
            name, scroll_filter=where, limit=PAGE, offset=offset, **options
        )
        yield from records
        if offset is None:
            return
