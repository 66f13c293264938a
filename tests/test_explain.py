"""What an explanation says is what the model computes."""

from __future__ import annotations

import json
import math

import pytest
import torch

from llm2vec_gen_rag.explain import Explanation, NearToken, Reading, explain, logit_lens

QUERY = "where do polar bears live"
DOCUMENT = "Polar bears live on the sea ice.\nThey swim."


def test_an_explanation_holds_what_the_model_says(model):
    explanation = explain(model, QUERY, DOCUMENT, nearest=3, max_new_tokens=6)
    asked, summarized = model.prompts.for_query("retrieval"), model.prompts.document
    assert explanation.answer == model.answer(QUERY, instruction=asked, max_new_tokens=6)
    assert explanation.query.says == model.decode(QUERY, instruction=asked, max_new_tokens=6)
    assert explanation.document.says == model.decode(
        DOCUMENT, instruction=summarized, max_new_tokens=6
    )
    expected = model.encode_query(QUERY) @ model.encode_document(DOCUMENT)
    assert explanation.cosine == pytest.approx(float(expected), abs=1e-6)
    assert explanation.query.tokens == logit_lens(model, QUERY, instruction=asked, k=3)
    assert explanation.document.tokens == logit_lens(model, DOCUMENT, instruction=summarized, k=3)


def test_a_task_chooses_the_instruction(model):
    explanation = explain(model, QUERY, task="sts", nearest=1, max_new_tokens=4)
    instruction = model.prompts.for_query("sts")
    assert explanation.query.says == model.decode(QUERY, instruction=instruction, max_new_tokens=4)
    assert (explanation.document, explanation.cosine) == (None, None)


def test_the_lens_is_the_output_layer_on_the_reference_soft_prompts(each_kit, each_model):
    length = each_kit.expected["max_lengths"][0] if "max_lengths" in each_kit.expected else 64
    soft_prompts = each_kit.tensors[f"recon.{length}.0"]
    head = each_model.backbone.get_output_embeddings()
    with torch.no_grad():
        shares = head(torch.from_numpy(soft_prompts)).softmax(dim=-1)
    read = logit_lens(each_model, each_kit.texts[0], k=2, max_length=length)
    assert len(read) == each_model.compression_tokens
    for near, of_prompt in zip(read, shares, strict=True):
        best = of_prompt.topk(2)
        assert [token.probability for token in near] == pytest.approx(
            best.values.tolist(), rel=1e-3
        )
        assert near[0].text == each_model.tokenizer.decode([int(best.indices[0])])


def test_more_tokens_than_there_are_gives_all_of_them(model):
    vocabulary = model.backbone.get_output_embeddings().out_features
    read = logit_lens(model, QUERY, k=vocabulary + 1)
    assert {len(near) for near in read} == {vocabulary}
    assert sum(token.probability for token in read[0]) == pytest.approx(1, abs=1e-4)


def test_as_dict_is_json_and_as_text_fits_its_width(model):
    explanation = explain(model, QUERY, DOCUMENT, nearest=2, max_new_tokens=30)
    loaded = json.loads(json.dumps(explanation.as_dict()))
    assert loaded["query"]["text"] == QUERY
    assert loaded["document"]["tokens"][0][0]["text"] == explanation.document.tokens[0][0].text
    text = explanation.as_text(60)
    assert [line for line in text.split("\n") if len(line) > 60 or not line.isprintable()] == []
    assert text.count("its embedding says") == 2
    assert f"cosine of the two embeddings: {explanation.cosine:.4f}" in text
    assert "document" not in explain(model, "", nearest=1, max_new_tokens=1).as_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": 7}, "query is 7"),
        ({"query": "x", "document": ["y"]}, "document is"),
        ({"query": "x", "task": "cooking"}, "unknown task 'cooking'"),
        ({"query": "x", "nearest": 0}, "nearest is 0"),
    ],
)
def test_wrong_arguments_are_reported(model, arguments, said):
    with pytest.raises(ValueError, match=said):
        explain(model, **arguments)


def test_each_token_is_shown_with_how_far_it_is_behind_the_nearest(model):
    explanation = explain(model, QUERY, nearest=3, max_new_tokens=1)
    for place, near in enumerate(explanation.query.tokens, start=1):
        assert near[0].log_ratio == 0
        for token in near[1:]:
            expected = math.log(token.probability / near[0].probability)
            assert token.log_ratio == pytest.approx(expected, abs=1e-5)
            assert token.log_ratio < 0
        shown = "  ".join(f"{token.text!r} {token.log_ratio:.2g}" for token in near)
        assert f"{place:>6}  {shown}"[:100] in explanation.as_text(100)


def test_tokens_of_any_probability_can_be_told_apart():
    near = tuple(NearToken("abc"[i], 2e-5 - i * 1e-7, 0 - 5e-3 * i) for i in range(3))
    text = Explanation(Reading("q", "a", (near,)), "a", None, None).as_text(60)
    assert "     1  'a' 0  'b' -0.005  'c' -0.01" in text
