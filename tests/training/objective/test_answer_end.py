"""An answer ends with the token at which the LLM itself stops."""

from __future__ import annotations

import pytest
from training_runs import ANSWERS, QUESTIONS

from llm2vec_gen_rag.training.objective import tokenize_pairs
from llm2vec_gen_rag.training.objective.answer_end import answer_end_id

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
)


def end_of(model):
    return answer_end_id(model.backbone, model.tokenizer)


def stop_at(model, ends):
    """Let the LLM stop at these tokens alone."""
    model.backbone.config.eos_token_id = None
    model.backbone.generation_config.eos_token_id = ends


@pytest.fixture
def ids(model):
    return model.tokenizer.convert_tokens_to_ids


def test_it_is_the_tokenizers_where_the_llm_stops_at_it(model, ids):
    assert end_of(model) == model.tokenizer.eos_token_id == ids("<|im_end|>")


def test_it_is_the_llms_where_the_tokenizer_names_another(model, ids):
    model.tokenizer.eos_token = "<|endoftext|>"
    assert end_of(model) == ids("<|im_end|>")
    stop_at(model, [ids("<|im_start|>"), ids("<|im_end|>")])
    assert end_of(model) == ids("<|im_start|>")


def test_it_is_what_the_chat_template_ends_with_where_the_llm_stops_at_several(model, ids):
    model.tokenizer.eos_token = "<|endoftext|>"
    stop_at(model, [ids("<|endoftext|>"), ids("<|im_end|>")])
    assert end_of(model) == ids("<|endoftext|>")
    model.tokenizer.chat_template = TEMPLATE
    assert end_of(model) == ids("<|im_end|>")


def test_it_is_the_tokenizers_where_the_llm_names_none(model):
    stop_at(model, None)
    assert end_of(model) == model.tokenizer.eos_token_id


def test_an_llm_without_an_end_is_refused(model):
    stop_at(model, None)
    model.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither the tokenizer nor the LLM"):
        end_of(model)


def test_every_answer_ends_with_it(model, ids):
    model.tokenizer.eos_token = "<|endoftext|>"
    pairs = tokenize_pairs(model, QUESTIONS, ANSWERS, max_length=512)
    assert {int(pair.answer[-1]) for pair in pairs} == {ids("<|im_end|>")}
