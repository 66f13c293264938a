"""Five documents, and an empty collection in memory."""

from __future__ import annotations

import pytest

from llm2vec_gen_rag.qdrant import Document, DocumentCollection

TEXTS = [
    "Polar bears live on the sea ice of the Arctic.",
    "The yen is the money of Japan.",
    "Disk Cleanup frees space on a hard drive.",
    "Kyoto was the capital of Japan until 1868.",
    "An igloo is a shelter built of snow.",
]


@pytest.fixture
def documents():
    return [
        Document(text, id=f"doc-{i}", metadata={"number": i, "even": i % 2 == 0})
        for i, text in enumerate(TEXTS)
    ]


@pytest.fixture
def collection(model):
    with DocumentCollection.open(":memory:", "notes", model) as opened:
        yield opened
