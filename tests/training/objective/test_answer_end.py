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
def ids(fresh_model):
    return fresh_model.tokenizer.convert_tokens_to_ids


def test_it_is_the_tokenizers_where_the_llm_stops_at_it(fresh_model, ids):
    assert end_of(fresh_model) == fresh_model.tokenizer.eos_token_id == ids("<|im_end|>")


def test_it_is_the_llms_where_the_tokenizer_names_another(fresh_model, ids):
    fresh_model.tokenizer.eos_token = "<|endoftext|>"
    assert end_of(fresh_model) == ids("<|im_end|>")
    stop_at(fresh_model, [ids("<|im_start|>"), ids("<|im_end|>")])
    assert end_of(fresh_model) == ids("<|im_start|>")


def test_it_is_what_the_chat_template_ends_with_where_the_llm_stops_at_several(fresh_model, ids):
    fresh_model.tokenizer.eos_token = "<|endoftext|>"
    stop_at(fresh_model, [ids("<|endoftext|>"), ids("<|im_end|>")])
    assert end_of(fresh_model) == ids("<|endoftext|>")
    fresh_model.tokenizer.chat_template = TEMPLATE
    assert end_of(fresh_model) == ids("<|im_end|>")


def test_it_is_the_tokenizers_where_the_llm_names_none(fresh_model):
    stop_at(fresh_model, None)
    assert end_of(fresh_model) == fresh_model.tokenizer.eos_token_id


def test_an_llm_without_an_end_is_refused(fresh_model):
    stop_at(fresh_model, None)
    fresh_model.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither the tokenizer nor the LLM"):
        end_of(fresh_model)


def test_every_answer_ends_with_it(fresh_model, ids):
    fresh_model.tokenizer.eos_token = "<|endoftext|>"
    pairs = tokenize_pairs(fresh_model, QUESTIONS, ANSWERS, max_length=512)
    assert {int(pair.answer[-1]) for pair in pairs} == {ids("<|im_end|>")}
