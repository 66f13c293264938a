"""A tiny model, another one, and an empty collection in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.qdrant import Document, DocumentCollection

REFERENCE = Path(__file__).parents[1] / "reference"

TEXTS = [
    "Polar bears live on the sea ice of the Arctic.",
    "The yen is the money of Japan.",
    "Disk Cleanup frees space on a hard drive.",
    "Kyoto was the capital of Japan until 1868.",
    "An igloo is a shelter built of snow.",
]


def load(name: str) -> LLM2VecGen:
    return LLM2VecGen.from_pretrained(
        REFERENCE / name / "checkpoint",
        base_model=REFERENCE / name / "base",
        dtype="float32",
        device="cpu",
    )


@pytest.fixture(scope="session")
def model():
    return load("qwen3-10")


@pytest.fixture(scope="session")
def other_model():
    return load("qwen2-6-4")


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
