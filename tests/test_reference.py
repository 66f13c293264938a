"""Agreement with the reference package: llm2vec-gen 0.1.3, float32 on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.decoder import decode_ids
from llm2vec_gen_rag.encoder import last_hidden_states, soft_prompts

LENGTHS = [512, 128, 64]
ABSOLUTE = 1e-5

at_each_length = pytest.mark.parametrize("max_length", LENGTHS)


def encode(model, texts, max_length, **options):
    return model.encode(texts, max_length=max_length, normalize=False, **options)


def test_kits_have_values_at_these_lengths(each_kit):
    assert each_kit.expected["max_lengths"] == LENGTHS


@at_each_length
def test_texts_one_by_one(each_kit, each_model, max_length):
    found = np.stack([encode(each_model, text, max_length) for text in each_kit.texts])
    np.testing.assert_allclose(found, each_kit.rows("embedding", max_length), atol=ABSOLUTE)


@at_each_length
def test_texts_in_one_batch(each_kit, each_model, max_length):
    found = encode(each_model, each_kit.texts, max_length)
    np.testing.assert_allclose(found, each_kit.rows("embedding", max_length), atol=ABSOLUTE)
    np.testing.assert_allclose(found, each_kit.tensors[f"batch.{max_length}"], atol=ABSOLUTE)


@at_each_length
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_texts_in_batches_of_any_size(each_kit, each_model, max_length, batch_size):
    found = encode(each_model, each_kit.texts, max_length, batch_size=batch_size)
    np.testing.assert_allclose(found, each_kit.rows("embedding", max_length), atol=ABSOLUTE)


@at_each_length
def test_texts_in_any_order(each_kit, each_model, max_length):
    expected = each_kit.rows("embedding", max_length)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(expected))
        found = encode(each_model, [each_kit.texts[row] for row in order], max_length)
        np.testing.assert_allclose(found, expected[order], atol=ABSOLUTE)


@at_each_length
@pytest.mark.parametrize("side", ["left", "right"])
def test_whatever_side_the_tokenizer_pads_or_cuts_on(each_kit, max_length, side):
    model = each_kit.load()
    model.tokenizer.padding_side = model.tokenizer.truncation_side = side
    found = encode(model, each_kit.texts, max_length)
    np.testing.assert_allclose(found, each_kit.rows("embedding", max_length), atol=ABSOLUTE)


@at_each_length
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("forward", ["on a CPU", "the LLM's own"])
def test_soft_prompts_with_and_without_gradient(
    each_kit, max_length, attention, forward, monkeypatch
):
    if forward == "the LLM's own":
        monkeypatch.setattr(cpu, "gradient_forward_for", lambda backbone: None)
    model = each_kit.load(attn_implementation=attention)
    ids = model.text_tokenizer.token_ids(
        each_kit.texts, max_tokens=max_length - len(model.response_tokens)
    )
    model.response_tokens.requires_grad_(True)
    with_gradient = soft_prompts(model, last_hidden_states(model, ids))
    with torch.no_grad():
        without = soft_prompts(model, last_hidden_states(model, ids))
    expected = each_kit.rows("recon", max_length)
    assert with_gradient.requires_grad
    np.testing.assert_allclose(with_gradient.detach(), expected, atol=ABSOLUTE)
    np.testing.assert_allclose(without, expected, atol=ABSOLUTE)


def test_decoded_ids_exactly(each_kit, each_model):
    expected = each_kit.expected["decoded_ids"]
    texts = each_kit.texts[: len(expected)]
    ids = each_model.text_tokenizer.token_ids(
        texts, max_tokens=512 - len(each_model.response_tokens)
    )
    assert decode_ids(each_model, ids, max_new_tokens=24) == expected
    alone = [decode_ids(each_model, [row], max_new_tokens=24)[0] for row in ids]
    assert alone == expected
