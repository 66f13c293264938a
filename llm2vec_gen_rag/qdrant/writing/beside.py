"""Where documents lie beside the points of their ids, which hold other contents, or held some.

Such a point is named by its content, so that it cannot be found by the content that follows. It may
be there when the point of its id is not: the source that held that one has let go of it.
"""

from __future__ import annotations

from collections.abc import Collection

from qdrant_client import QdrantClient, models

from llm2vec_gen_rag.qdrant.opening.local_folder import is_local
from llm2vec_gen_rag.qdrant.opening.shared_client import look_in_memory
from llm2vec_gen_rag.qdrant.points.pages import scroll
from llm2vec_gen_rag.qdrant.points.payload import BESIDE_KEY, STAMP_KEY


def points_beside(client: QdrantClient, name: str, of_ids: Collection[str]) -> dict[str, list[str]]:
    """Look up the points beside those of some documents' ids, whoever holds them.

    Args:
        client: The collection's client.
        name: The collection.
        of_ids: The points of the documents' ids.

    Returns:
        The points beside each of them that has some, in any order.
    """
    if not of_ids:
        return {}
    if is_local(client):
        records = look_in_memory(client, name, BESIDE_KEY)
    else:
        match = models.MatchAny(any=[*of_ids])
        where = models.Filter(must=[models.FieldCondition(key=BESIDE_KEY, match=match)])
        records = list(scroll(client, name, where, with_payload=[STAMP_KEY]))
    beside: dict[str, list[str]] = {}
    for record in records:
        of_id = str((record.payload or {})[STAMP_KEY]["beside"])
        if of_id in of_ids:
            beside.setdefault(of_id, []).append(str(record.id))
    return beside
