"""Decoding is measured beside `generate` and beside reading the weights."""

from __future__ import annotations

import pytest
from tiny_shape import TEXTS, TINY

from benchmarks.checkpoints import checkpoint_for
from benchmarks.decode import TOKENS, sum_up
from benchmarks.goals import read_goals
from benchmarks.our_worker import OurWorker
from llm2vec_gen_rag.decoder import decode_ids

SECONDS = {
    "ours": [0.5 * TOKENS, 1.0 * TOKENS],
    "generate": [1.0 * TOKENS, 1.5 * TOKENS],
    "reference": [4.0 * TOKENS, 10.0 * TOKENS],
    "matrices": [0.5, 0.5],
    "reading": [0.4, 1.0],
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = OurWorker()
    worker.load(str(checkpoint_for(TINY, TEXTS, tmp_path_factory.mktemp("checkpoints"))), "float32")
    return worker


def test_a_token_is_compared_with_reading_the_weights_round_by_round():
    figures = sum_up(SECONDS, weights=10**9)
    assert figures["token_time_of_reading"] == {"minimum": 1.0, "median": 1.125, "maximum": 1.25}
    assert figures["ratio_to_generate"] == {"minimum": 1.5, "median": 1.75, "maximum": 2.0}
    assert figures["ratio"]["median"] == 9.0
    assert figures["weights_read_gb_per_second"]["maximum"] == 2.0


def test_the_goals_are_of_these_figures():
    rows = [row for rows in read_goals().values() for row in rows if row.results == "decode.0.6b"]
    assert len(rows) == 3
    assert all(row.spread({"decode.0.6b": sum_up(SECONDS, weights=1)}) for row in rows)


def test_generate_writes_what_decode_writes(worker):
    text = TEXTS.documents[0]
    ids = worker.model.text_tokenizer.token_ids([text])
    (written,) = decode_ids(worker.model, ids, max_new_tokens=12)
    assert len(written) == 12
    assert worker.generated_ids(text, 12) == written
    assert worker.decode_by_generate(text, 12) > 0


def test_a_token_reads_the_layers_and_the_logits_matrix(worker):
    weights = TINY.layers * TINY.layer_weights + TINY.vocabulary * TINY.hidden
    worker.copy_matrices()
    assert worker.weight_bytes() == 4 * weights
    assert worker.read_weights(repeats=1) > 0
