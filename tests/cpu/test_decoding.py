"""Decoding by the layers written out here continues as the LLM's own forward does."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone import products
from llm2vec_gen_rag.backbone.own_decoding import OwnDecoding
from llm2vec_gen_rag.cpu import decoding_for
from llm2vec_gen_rag.cpu.kv_cache import ROOM
from llm2vec_gen_rag.decoder import Continuation, greedy_ids

LENGTHS = (5, 1, 12, 7)


def prompts_of(model, lengths, side="left"):
    """Return random input embeddings of some lengths, and their mask."""
    generator = torch.Generator().manual_seed(len(lengths))
    width = model.backbone.config.hidden_size
    rows = [torch.randn(length, width, generator=generator) for length in lengths]
    inputs = pad_sequence(rows, batch_first=True, padding_side=side)
    ones = [torch.ones(length, dtype=torch.long) for length in lengths]
    mask = pad_sequence(ones, batch_first=True, padding_side=side)
    return inputs.to(model.backbone.dtype), mask


@torch.no_grad()
def logits_of(decoding, steps, keep=None):
    """Return the logits of each step; after the second, only the texts in `keep` go on."""
    generator = torch.Generator().manual_seed(1)
    found = [decoding.logits()]
    for step in range(1, steps):
        texts = list(range(len(found[-1])))
        going_on = keep if keep is not None and step == 2 else texts
        inputs = torch.randn(len(texts), decoding._inputs.shape[-1], generator=generator)
        decoding.append(inputs[going_on].to(decoding._inputs.dtype), going_on)
        found.append(decoding.logits())
    return found


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("keep", [None, [0, 2, 3], [2], [1]], ids=str)
def test_every_step_has_the_logits_of_the_own_forward(each_model, keep, side):
    backbone = each_model.backbone
    written_out = decoding_for(backbone, *prompts_of(each_model, LENGTHS, side))
    assert written_out is not None
    own = OwnDecoding(backbone, *prompts_of(each_model, LENGTHS))
    for found, expected in zip(
        logits_of(written_out, 6, keep), logits_of(own, 6, keep), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_one_prompt_for_longer_than_the_first_buffer(model):
    found = logits_of(decoding_for(model.backbone, *prompts_of(model, [3])), 2 * ROOM + 9)
    expected = logits_of(OwnDecoding(model.backbone, *prompts_of(model, [3])), 2 * ROOM + 9)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_several_prompts_for_longer_than_the_first_buffer(model):
    found = logits_of(decoding_for(model.backbone, *prompts_of(model, LENGTHS)), ROOM + 20)
    expected = logits_of(OwnDecoding(model.backbone, *prompts_of(model, LENGTHS)), ROOM + 20)
    torch.testing.assert_close(found[-1], expected[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lengths", [[6], [6, 3]])
@pytest.mark.parametrize("without_onednn", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_it_is_as_near_to_float32(qwen3, model, dtype, without_onednn, lengths):
    rounded = qwen3.load(dtype=dtype)
    exact = logits_of(OwnDecoding(model.backbone, *prompts_of(model, lengths)), 4)
    seen = []
    layer = rounded.backbone.base_model.layers[0].self_attn.q_proj
    layer.register_forward_pre_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
    with chosen(products.ROW_WITHOUT_ONEDNN, without_onednn):
        ours = logits_of(decoding_for(rounded.backbone, *prompts_of(rounded, lengths)), 4)
    for found, expected in zip(ours, exact, strict=True):
        assert torch.cosine_similarity(found.float(), expected).min() >= 0.999
    is_row = without_onednn and dtype == "bfloat16" and len(lengths) == 1
    assert seen == [True, *[not is_row] * 3]  # the prompt has several rows


def test_int8_layers_decode_as_by_the_own_forward(qwen3):
    model = qwen3.load(dtype="int8")
    layer = model.backbone.base_model.layers[0].self_attn.q_proj
    layer.register_forward_pre_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
    seen = []
    with chosen(products.ROW_WITHOUT_ONEDNN, answer=True):
        found = logits_of(decoding_for(model.backbone, *prompts_of(model, [6])), 4)
    assert all(seen)
    expected = logits_of(OwnDecoding(model.backbone, *prompts_of(model, [6])), 4)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.cosine_similarity(ours.float(), theirs.float()).min() >= 0.999


def test_texts_that_leave_one_after_another_and_buffers_that_grow_after_it(model):
    """The longest leaves first, and then all but one."""
    found = decoding_for(model.backbone, *prompts_of(model, LENGTHS))
    expected = OwnDecoding(model.backbone, *prompts_of(model, LENGTHS))
    for step, going_on in enumerate([[0, 1, 3], [0, 2], [1]] + [[0]] * (ROOM + 20)):
        with torch.no_grad():
            ours, theirs = found.logits(), expected.logits()
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        inputs = torch.randn(
            len(going_on),
            model.backbone.config.hidden_size,
            generator=torch.Generator().manual_seed(step),
        )
        found.append(inputs, going_on)
        expected.append(inputs, going_on)


@pytest.mark.parametrize("length", [255, 256, 257, 300, 509])
def test_a_long_prompt_of_any_length(model, length):
    """From `ROUND_FROM_TOKENS` on, spare rows follow it."""
    found = logits_of(decoding_for(model.backbone, *prompts_of(model, [length])), 3)
    expected = logits_of(OwnDecoding(model.backbone, *prompts_of(model, [length])), 3)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_long_prompts_of_several_lengths(model):
    lengths = (200, 3, 77)
    found = logits_of(decoding_for(model.backbone, *prompts_of(model, lengths)), 3)
    expected = logits_of(OwnDecoding(model.backbone, *prompts_of(model, lengths)), 3)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_text_writes_alone_what_it_writes_among_others(model, monkeypatch):
    inputs, mask = prompts_of(model, LENGTHS)
    together = greedy_ids(model.backbone, inputs, mask, max_new_tokens=9, ends={3})
    for row, expected in enumerate(together):
        own = inputs[row, mask[row].bool()][None]
        alone = greedy_ids(model.backbone, own, None, max_new_tokens=9, ends={3})
        assert alone == [expected]
    monkeypatch.setattr(cpu, "decoding_for", lambda *_: None)
    assert greedy_ids(model.backbone, inputs, mask, max_new_tokens=9, ends={3}) == together


def test_another_attention_than_asked_for_is_not_used(model, monkeypatch):
    monkeypatch.setattr(model.backbone.config, "_attn_implementation", "eager")
    assert decoding_for(model.backbone, *prompts_of(model, [3])) is None
    continuation = Continuation(model.backbone, *prompts_of(model, [3]))
    assert isinstance(continuation._decoding, OwnDecoding)


@contextmanager
def chosen(way, answer):
    """Decide for a kernel or against it."""
    way.set(answer)
    try:
        yield
    finally:
        way.set(None)
