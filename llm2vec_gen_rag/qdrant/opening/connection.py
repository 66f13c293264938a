"""Connect to Qdrant in memory, in a folder or on a server."""

from __future__ import annotations

import math
import os

from qdrant_client import QdrantClient

from llm2vec_gen_rag.qdrant.opening.local_folder import open_folder
from llm2vec_gen_rag.qdrant.opening.location import (
    MEMORY,
    Server,
    read_location,
    require_api_key,
    require_timeout,
)


def connect(
    location: str | os.PathLike[str], api_key: str | None = None, timeout: float | None = None
) -> QdrantClient:
    """Open a Qdrant client.

    Args:
        location: ``":memory:"``, a server's ``http(s)://`` URL, or a folder, created if it is new.
        api_key: The server's key.
        timeout: Seconds that the server may take for an answer; None leaves it to qdrant-client.

    Returns:
        The client, which the caller closes.

    Raises:
        ValueError: A key or timeout without a server, one of no use, or a location that is none of
            the three.
        CollectionError: Another client has the folder open, it is not a folder, or it is damaged.
    """
    place = read_location(location)
    if isinstance(place, Server):
        return _connect_to_server(place, api_key, timeout)
    for option, value in (("api_key", api_key), ("timeout", timeout)):
        if value is not None:
            raise ValueError(
                f"{option} was given for {os.fspath(location)!r}; expected a server's http:// or "
                "https:// URL."
            )
    return QdrantClient(location=MEMORY) if place is None else open_folder(str(place))


def _connect_to_server(server: Server, api_key: str | None, timeout: float | None) -> QdrantClient:
    if api_key is not None:
        require_api_key(api_key)
    if timeout is not None:
        require_timeout(timeout)
    # The check only warns, and about versions; the first request fails with the reason.
    return QdrantClient(
        url=server.url,
        api_key=api_key,
        timeout=None if timeout is None else math.ceil(timeout),
        check_compatibility=False,
        auth=server.credentials,
    )
