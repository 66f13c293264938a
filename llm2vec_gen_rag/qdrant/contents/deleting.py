"""Documents deleted by a filter, and a collection deleted as a whole."""

from __future__ import annotations

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.errors import CollectionError
from llm2vec_gen_rag.qdrant.filters import Where, to_filter
from llm2vec_gen_rag.qdrant.lent.unrestricted import selects_nothing
from llm2vec_gen_rag.qdrant.opening.shared_client import require_open


def delete_where(client: QdrantClient, name: str, where: Where) -> int:
    """Delete the documents that pass a filter, whoever wrote them.

    Args:
        client: The collection's client.
        name: The collection.
        where: What they have; without conditions, nothing is deleted.

    Returns:
        How many passed it when they were deleted.

    Raises:
        ValueError: It is no filter, or one through which every document passes.
    """
    condition = _restricting(where)
    require_open(client)
    if condition is None:
        return 0
    found = client.count(name, count_filter=condition).count
    client.delete(name, condition)
    return int(found)


def drop(client: QdrantClient, name: str) -> None:
    """Delete a collection with all that it holds.

    Args:
        client: The collection's client.
        name: The collection.

    Raises:
        CollectionError: There is no collection of this name: it is an alias, or was deleted.
    """
    if not client.delete_collection(name):
        raise CollectionError(
            f"there is no collection {name!r} to drop; expected a collection's own name, and not "
            "an alias. Open it by that name, and drop it there."
        )


def _restricting(where: Where) -> models.Filter | None:
    """Return the filter; None if it has no condition."""
    condition = to_filter(where)
    if condition is None:
        raise ValueError(
            "filter is None; expected what documents have, such as {'lang': 'en'}. To delete "
            "every document, drop the collection."
        )
    if condition == models.Filter():
        return None
    try:
        return None if selects_nothing(condition) else condition
    except ValueError as error:
        raise ValueError(
            f"filter is {condition.model_dump(exclude_none=True)!r:.200}, through which every "
            "document passes, as a filter or list in it is empty; expected one that restricts what "
            "is deleted. Leave what is empty out, or drop the collection."
        ) from error
