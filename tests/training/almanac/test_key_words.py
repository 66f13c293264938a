"""The second task of the language model: the words of the answer, in no order."""

from __future__ import annotations

import math

import pytest
import torch

from llm2vec_gen_rag.training.almanac.key_words import BLANK, BLANKS, KeyWords, token_weights
from llm2vec_gen_rag.training.almanac.language_model import (
    LanguageModelRecipe,
    Row,
    new_model,
    train,
    train_tokenizer,
)

PAIRS = [
    ("who is tall", "Ann is tall."),
    ("who is small", "Bob is small."),
    ("who is quick", "Eve is quick."),
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([f"{a} {b}" for a, b in PAIRS] * 3, 300)


@pytest.fixture(scope="module")
def rows(tokenizer):
    end = tokenizer.eos_token_id
    return [Row(tokenizer(p).input_ids, [*tokenizer(a).input_ids, end]) for p, a in PAIRS]


def test_a_token_of_every_answer_weighs_nothing_and_equal_answers_count_once():
    rows = [Row([1], [5, 6]), Row([2], [5, 7]), Row([3], [5, 7])]
    weights = token_weights(rows, 10)
    assert weights[5] == 0
    assert weights[6].item() == weights[7].item() == pytest.approx(math.log(2))


def test_the_target_is_spread_over_the_answers_own_tokens(rows, tokenizer):
    target = KeyWords(rows, tokenizer, 3, 0).target(rows[0].answer)
    assert target.sum().item() == pytest.approx(1)
    assert set(target.nonzero()[:, 0].tolist()) <= set(rows[0].answer) - {tokenizer.eos_token_id}
    assert target[tokenizer(" tall").input_ids[-1]] > 0


def test_a_model_learns_all_words_of_an_answer_at_once(rows, tokenizer):
    recipe = LanguageModelRecipe(
        vocabulary=300, hidden=32, layers=2, intermediate=64, heads=2, steps=150, batch_size=3,
        warmup_steps=5,
    )  # fmt: skip
    model = new_model(recipe, tokenizer)
    task = KeyWords(rows, tokenizer, 3, 0)
    before = task.loss(model).item()
    train(model, rows, recipe, tokenizer.pad_token_id, task.loss)
    assert task.loss(model).item() < 0.05 * before
    prompt = tokenizer("who is small" + BLANK * BLANKS, return_tensors="pt").input_ids
    with torch.no_grad():
        at_blanks = model(prompt).logits[0, -BLANKS:].softmax(-1)
    target = task.target(rows[1].answer).expand(BLANKS, -1)
    torch.testing.assert_close(at_blanks, target, rtol=0, atol=0.1)
