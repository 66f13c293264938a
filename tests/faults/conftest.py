"""An empty collection in memory, of the first reference checkpoint."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.qdrant import DocumentCollection


@pytest.fixture
def collection(model):
    with DocumentCollection.open(":memory:", "notes", model) as opened:
        yield opened
