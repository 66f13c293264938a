"""A collection's client as LlamaIndex awaits it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from qdrant_client import QdrantClient


class AsyncCollectionClient:
    """The `AsyncQdrantClient` that LlamaIndex asks for: each call of the client runs in a thread.

    A real one would share neither memory nor a folder with the synchronous client.
    """

    def __init__(self, client: QdrantClient) -> None:
        self._client_in_threads = client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # else copying, which asks before __init__ ran, would recurse
            raise AttributeError(name)
        attribute = getattr(self._client_in_threads, name)
        return partial(asyncio.to_thread, attribute) if callable(attribute) else attribute
