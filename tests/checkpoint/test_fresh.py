"""A checkpoint that was never trained: its sizes, its initial values, its files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.checkpoint.initialisation import Initialisation

TEXTS = ["What is the money of Japan?", "", "a <question1> b"]


@pytest.fixture(scope="module")
def base(qwen3):
    tokenizer = AutoTokenizer.from_pretrained(qwen3.base)
    return AutoModelForCausalLM.from_pretrained(qwen3.base, dtype=torch.float32), tokenizer


def test_a_fresh_model_saves_and_reloads(base, tmp_path):
    backbone, tokenizer = base
    fresh = LLM2VecGen.initialise(
        backbone, tokenizer, response_tokens=6, compression_tokens=4, dimension=20, name="mine"
    )
    assert (fresh.dimension, fresh.compression_tokens, fresh.name) == (20, 4, "mine")
    fresh.save_pretrained(tmp_path)
    again = LLM2VecGen.from_pretrained(tmp_path, dtype="float32", device="cpu")
    assert again.fingerprint == fresh.fingerprint
    assert np.array_equal(again.encode(TEXTS), fresh.encode(TEXTS))
    again.save_pretrained(tmp_path / "twice")
    first, second = (tmp_path / "encoder").iterdir(), (tmp_path / "twice" / "encoder").iterdir()
    assert {path.name for path in first} == {path.name for path in second}


def test_fresh_weights_follow_the_seed(base):
    def fingerprint(seed):
        return LLM2VecGen.initialise(*base, dimension=8, seed=seed).fingerprint

    assert fingerprint(1) == fingerprint(1) != fingerprint(2)


def test_keywords_and_one_object_make_the_same_model(base):
    choices = {"response_tokens": 6, "compression_tokens": 4, "initial_text": "in a word:"}
    choices |= {"seed": 5, "lora_rank": 2, "lora_alpha": 8.0}
    by_keywords = LLM2VecGen.initialise(*base, dimension=8, **choices)
    by_object = LLM2VecGen.fresh(*base, 8, Initialisation(**choices))
    assert by_keywords.fingerprint == by_object.fingerprint


@pytest.mark.parametrize("count", [2, 9])
def test_response_tokens_start_as_the_text_they_are_given(base, count):
    backbone, tokenizer = base
    fresh = LLM2VecGen.initialise(
        *base, response_tokens=count, dimension=8, initial_text=" in a word:"
    )
    ids = tokenizer(" in a word:", add_special_tokens=False).input_ids
    expected = backbone.get_input_embeddings().weight[(ids * count)[-count:]]
    assert torch.equal(fresh.response_tokens, expected)


def test_a_fresh_model_leaves_the_callers_tokenizer_alone(base):
    backbone, tokenizer = base
    before = len(tokenizer)
    fresh = LLM2VecGen.initialise(backbone, tokenizer, dimension=8)
    assert len(tokenizer) == before
    assert len(fresh.tokenizer) == before + 10
    assert not any(p.requires_grad for p in [fresh.response_tokens, *backbone.parameters()])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dimension": 0}, "dimension is 0"),
        ({"dimension": 8, "response_tokens": 0}, "response_tokens is 0"),
        ({"dimension": 8, "compression_tokens": 0}, "compression_tokens is 0"),
        ({"dimension": 8, "lora_rank": -1}, "lora_rank is -1"),
        ({"dimension": 8, "lora_alpha": 0}, "lora_alpha 0; expected"),
        ({"dimension": 8, "response_tokens": 4, "compression_tokens": 5}, "at most as many"),
    ],
)
def test_a_fresh_model_of_impossible_sizes(base, options, said):
    with pytest.raises(ValueError, match=said):
        LLM2VecGen.initialise(*base, **options)


def test_a_fresh_model_on_a_tokenizer_that_has_response_tokens(base, model):
    with pytest.raises(ValueError, match="base model's own tokenizer"):
        LLM2VecGen.initialise(base[0], model.tokenizer, dimension=8)
