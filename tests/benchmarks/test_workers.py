"""Both packages read the random-weight checkpoints; a worker answers, or shows its error."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tiny_shape import TEXTS, TINY

from benchmarks import reference_environment
from benchmarks.checkpoints import checkpoint_for
from benchmarks.workers import Worker, WorkerError, ours, reference
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.decoder import answer_ids


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return checkpoint_for(TINY, TEXTS, tmp_path_factory.mktemp("checkpoints"))


def test_a_checkpoint_is_built_once_and_loads(checkpoint):
    written = (checkpoint / "run_config.yml").stat().st_mtime_ns
    assert checkpoint_for(TINY, TEXTS, checkpoint.parent.parent) == checkpoint
    assert (checkpoint / "run_config.yml").stat().st_mtime_ns == written
    model = LLM2VecGen.from_pretrained(checkpoint)
    assert model.encode(TEXTS.documents).shape == (2, TINY.hidden)
    assert len(model.backbone.base_model.layers) == TINY.layers


def test_its_lm_writes_as_many_tokens_as_it_is_asked_for(checkpoint):
    model = LLM2VecGen.from_pretrained(checkpoint, dtype="float32")
    prompts = model.text_tokenizer.token_ids(TEXTS.queries)
    assert [len(ids) for ids in answer_ids(model, prompts, max_new_tokens=30)] == [30]


def test_a_worker_answers_and_shows_errors(checkpoint):
    with ours(threads=1) as worker:
        assert worker.ask("load", checkpoint=str(checkpoint)) > 0
        asked = {"texts": TEXTS.documents, "instruction": "Say: "}
        assert worker.ask("encode", **asked) > 0
        counted = worker.ask("lengths", **asked)
        assert len(counted["lengths"]) == 2
        assert 0 < counted["prefix"] < min(counted["lengths"])
        assert np.array(worker.ask("vectors", **asked)).shape == (2, TINY.hidden)
        worker.ask("copy_matrices")
        worker.ask("warm_up")
        worker.ask("warm_up_writing")
        assert worker.ask("matrices", rows=4, repeats=1) > 0
        assert min(worker.ask("matrices_by_kernel", rows=4, repeats=1).values()) > 0
        assert worker.ask("peak") > 50
        with pytest.raises(WorkerError, match="unexpected keyword argument"):
            worker.ask("decode", nonsense=1)
        assert worker.ask("decode", text="seal", tokens=2) > 0


def test_the_peak_of_a_worker_is_its_own(checkpoint):
    held = np.ones(2**27)  # 1 GiB, of the process that starts the worker
    with ours(threads=1) as worker:
        worker.ask("load", checkpoint=str(checkpoint))
        peak, resident = worker.ask("peak"), worker.ask("resident")
    assert held.nbytes / 2**20 > peak >= resident


def test_a_worker_that_dies_is_an_error():
    with (
        Worker(sys.executable, "benchmarks.no_such_module", 1) as worker,
        pytest.raises(WorkerError, match="ended while asked to 'load'"),
    ):
        worker.ask("load")


def test_without_the_reference_the_error_says_how_to_set_it_up(monkeypatch, tmp_path):
    monkeypatch.setattr(reference_environment, "PYTHON", tmp_path / "python")
    with pytest.raises(FileNotFoundError, match=r"python -m benchmarks\.reference_environment"):
        reference(threads=1)


@pytest.mark.skipif(
    not reference_environment.PYTHON.is_file(),
    reason="the reference package is not set up: python -m benchmarks.reference_environment",
)
def test_both_packages_embed_alike(checkpoint):
    asked = {"texts": TEXTS.documents, "instruction": "Say: "}
    vectors = []
    with ours(threads=1) as our, reference(threads=1) as other:
        for worker in (our, other):
            worker.ask("load", checkpoint=str(checkpoint))
            vectors.append(np.array(worker.ask("vectors", **asked)))
        assert other.ask("encode", **asked, batch_size=1) > 0
        assert other.ask("encode", **asked, batch_size=None) > 0
        assert other.ask("decode", text="seal", tokens=2) > 0
    assert (vectors[0] * vectors[1]).sum(axis=1).min() > 0.999
