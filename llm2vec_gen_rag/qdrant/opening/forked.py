"""Qdrant clients that a forked child has from its parent, and must not use.

A client of a folder holds all points in memory and writes them to one file: two processes would not
see each other's. One of a server holds connections, where they would read each other's answers.
"""

from __future__ import annotations

import os
from weakref import WeakSet

from qdrant_client import QdrantClient
from qdrant_client.local.qdrant_local import QdrantLocal

from llm2vec_gen_rag.errors import CollectionError

_opened: WeakSet[QdrantClient] = WeakSet()
_inherited: WeakSet[QdrantClient] = WeakSet()


def note_opened(client: QdrantClient) -> None:
    """Remember that this process uses the client, unless it lives in memory alone."""
    if client.init_options["location"] != ":memory:":
        _opened.add(client)


def is_inherited(client: QdrantClient) -> bool:
    """Return whether this is a forked child and its parent used the client."""
    return client in _inherited


def require_own(client: QdrantClient) -> None:
    """Raise an error for a client that a forked child has from its parent.

    Args:
        client: of a folder or a server.

    Raises:
        CollectionError: if the client is the parent's.
    """
    if is_inherited(client):
        raise CollectionError(
            "this collection was opened before the process was forked, and two processes cannot "
            "share its client; expected one of this process. Open it after the fork, with "
            "DocumentCollection.open(...): a server for several processes, a folder for one only."
        )


def _disown() -> None:
    """Keep a forked child from unlocking its parent's folders, which closing a client does."""
    _inherited.update(_opened)
    for client in _opened:
        local = client._client  # there is no public way to the lock
        if isinstance(local, QdrantLocal) and local._flock_file is not None:
            local._flock_file.close()  # the parent's own handle keeps the lock


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_disown)
