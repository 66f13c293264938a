"""The program that measures a RAG answer lets each way give the same answer, by its one model."""

from __future__ import annotations

import pytest

from benchmarks.rag_memory import QUESTION, sum_up
from benchmarks.rag_worker import RagWorker
from llm2vec_gen_rag import LLM2VecGen

DOCUMENTS = ["The yen is Japan's money.", "Gold is a solid.", "Polar bears live on ice."]


@pytest.fixture
def worker(model, monkeypatch):
    """A worker with the shared model, where loading another one fails."""

    def refused(name, **options):
        raise AssertionError(f"{name} was loaded beside the model in memory")

    monkeypatch.setattr(LLM2VecGen, "from_pretrained", refused)
    monkeypatch.setattr("llama_index.core.global_tokenizer", None)  # which an answer sets
    worker = RagWorker()
    worker.model = model
    return worker


@pytest.mark.parametrize("way", ["langchain", "llama_index"])
def test_a_framework_answers_as_the_model_alone_does(worker, way):
    worker.import_framework(way)
    expected = worker.alone(DOCUMENTS, QUESTION)
    assert expected
    assert getattr(worker, way)(DOCUMENTS, QUESTION).strip() == expected.strip()


def test_peaks_are_compared_with_the_model_alone_after_a_first_round():
    rounds = {
        "alone": [(900.0, 0.0), (100.0, 0.0)],
        "langchain": [(900.0, 9.0), (104.0, 4.0)],
        "llama_index": [(900.0, 9.0), (108.0, 5.0)],
        "two_models": [(900.0, 0.0), (190.0, 0.0)],
    }
    told = sum_up(rounds, documents=3)
    assert {way: found["median"] for way, found in told["ratio_to_alone"].items()} == {
        "langchain": 1.04,
        "llama_index": 1.08,
        "two_models": 1.9,
    }
    assert told["imports_mib"]["llama_index"]["median"] == 5.0
    assert told["ratio_without_imports"]["llama_index"]["median"] == 1.03
