"""Forwards that really run out of memory: halved, reported once, and nothing else is caught."""

from __future__ import annotations

import contextlib
import logging
import weakref

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.batching import run_batches

# they begin differently, so that no prefix is read in a forward of its own
TEXTS = [f"{chr(ord('a') + row % 26)} {row} {'and more ' * (row % 7)}" for row in range(40)]


def out_of_cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def out_of_ram():
    torch.empty(2**60, dtype=torch.uint8)  # the allocator's own error


def out_of_numpys_ram():
    np.empty(2**60, dtype=np.uint8)


@contextlib.contextmanager
def room_for(model, tokens, fail):
    """Let a forward of more tokens than that fail; yields the tokens of each one tried."""
    tried = []

    def check(module, args):
        tried.append(args[0][..., 0].numel())
        if tried[-1] > tokens:
            fail()

    hook = model.backbone.base_model.layers[1].self_attn.q_proj.register_forward_pre_hook(check)
    try:
        yield tried
    finally:
        hook.remove()


@pytest.mark.parametrize("fail", [out_of_cuda, out_of_ram, out_of_numpys_ram])
@pytest.mark.parametrize("batch_size", [None, 32])
def test_a_full_memory_halves_the_batches_and_says_so_once(model, caplog, fail, batch_size):
    expected = model.encode(TEXTS)
    with room_for(model, 150, fail) as tried:
        found = model.encode(TEXTS, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "batch_size=" in record.getMessage()
    failed = [tokens for tokens in tried if tokens > 150]
    assert len(failed) > 1  # one halving is not enough here
    assert tried[: len(failed)] == failed  # what is left after a failure is not tried in full


def test_the_warning_says_what_was_found_and_what_is_done(model, caplog):
    texts = [f"{letter} " * 30 for letter in "abcdefgh"]
    tokens = max(len(ids) for ids in model.text_tokenizer.token_ids(texts))
    with room_for(model, 250, out_of_cuda):
        model.encode(texts, batch_size=8)
    words = caplog.records[0].getMessage()
    assert f"8 texts of up to {tokens} tokens" in words
    assert "(OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.)" in words
    assert "continuing with 4 texts" in words


def test_each_call_warns_anew(model, caplog):
    with room_for(model, 150, out_of_cuda):
        model.encode(TEXTS)
        model.encode(TEXTS)
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (out_of_cuda, torch.OutOfMemoryError),
        (out_of_ram, RuntimeError),
        (out_of_numpys_ram, MemoryError),
    ],
)
def test_a_single_text_that_does_not_fit_is_an_error(model, fail, error):
    with room_for(model, 20, fail), pytest.raises(error):
        model.encode(["short", "word " * 30])


def test_any_other_error_goes_up_at_once(model, caplog):
    def broken():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with room_for(model, 150, broken) as tried, pytest.raises(RuntimeError, match="illegal memory"):
        model.encode(TEXTS)
    assert len(tried) == 1
    assert not caplog.records


@pytest.mark.parametrize("way", ["decode", "answer"])
def test_what_the_model_writes_stays_the_same(model, caplog, way):
    write = getattr(model, way)
    expected = write(TEXTS, max_new_tokens=4)
    with room_for(model, 150, out_of_cuda):
        assert write(TEXTS, max_new_tokens=4) == expected
    assert len(caplog.records) == 1


def test_nothing_of_a_failed_forward_is_held_during_the_next():
    """Its tensors would fill the memory that the smaller forwards need."""
    held, seen = [], []

    def forward(rows):
        seen.append([reference() is not None for reference in held])
        tensor = torch.zeros(len(rows))
        held.append(weakref.ref(tensor))
        if len(rows) > 1:
            out_of_cuda()

    run_batches(forward, [[0, 1, 2]], [np.zeros(3, dtype=np.int64)] * 3)
    assert len(seen) == 5  # three, two, then one each
    assert not any(alive for references in seen for alive in references)
