"""What an explanation says is what the model computes."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from llm2vec_gen_rag.explain import Explanation, LikelyToken, Reading, explain, logit_lens

QUERY = "where do polar bears live"
DOCUMENT = "Polar bears live on the sea ice.\nThey swim."


@pytest.fixture(scope="module")
def explanation(model):
    return explain(model, QUERY, DOCUMENT, nearest=3, max_new_tokens=6)


def test_an_explanation_holds_what_the_model_says(model, explanation):
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
    assert explanation.search_score is None
    with pytest.raises(FrozenInstanceError):
        explanation.cosine = 1.0


def test_a_task_chooses_the_instruction(model):
    explanation = explain(model, QUERY, task="sts", nearest=1, max_new_tokens=4)
    instruction = model.prompts.for_query("sts")
    assert explanation.query.says == model.decode(QUERY, instruction=instruction, max_new_tokens=4)
    assert (explanation.document, explanation.cosine, explanation.split) == (None, None, None)


def test_as_dict_is_json_and_as_text_fits_its_width(explanation):
    loaded = json.loads(json.dumps(explanation.as_dict()))
    assert loaded["query"]["text"] == QUERY
    assert loaded["document"]["tokens"][0][0]["text"] == explanation.document.tokens[0][0].text
    assert loaded["split"]["cells"] == [list(row) for row in explanation.split.cells]
    text = explanation.as_text(60)
    assert [line for line in text.split("\n") if len(line) > 60 or not line.isprintable()] == []
    assert text.count("its embedding says") == 2
    assert f"cosine of the two embeddings: {explanation.cosine:.4f}" in text
    assert str(explanation) == explanation.as_text()


def test_the_text_of_a_query_alone_speaks_of_no_document(model):
    assert "document" not in str(explain(model, "", nearest=1, max_new_tokens=1))


def test_the_text_has_each_share_of_the_score(explanation):
    lines = explanation.as_text().split("\n")
    shares = explanation.split.by_query_token, explanation.split.by_document_token
    for place, (ours, theirs) in enumerate(zip(*shares, strict=True), start=1):
        assert lines[-len(shares[0]) + place - 1].split() == [
            str(place), f"{ours:.4f}", f"{theirs:.4f}",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("probability", "lift", "shown"),
    [
        (0.344, 23412.7, "'a' 34% x23,000"),
        (0.0812, 9.96, "'a' 8.1% x10"),
        (0.00523, 1.04, "'a' 0.52% x1"),
        (1e-9, 3e8, "'a' <0.01% x>1e6"),
        (1.0, 0.0031, "'a' 100% x0.0031"),
    ],
)
def test_numbers_of_any_size_can_be_read(probability, lift, shown):
    reading = Reading("q", "a", ((LikelyToken("a", probability, lift),),))
    assert f"     1  {shown}\n" in Explanation(reading, "a").as_text() + "\n"


def test_tokens_that_do_not_fit_are_left_out_whole():
    likely = tuple(LikelyToken(" considerable", 0.1, 2.0) for _ in range(9))
    text = Explanation(Reading("q", "a", (likely,)), "a").as_text(60)
    assert text.endswith("     1" + 2 * "  ' considerable' 10% x2")


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


@pytest.mark.parametrize("given", ["almanac", None])
def test_what_is_no_loaded_model_is_reported(given):
    for ask in (explain, logit_lens):
        with pytest.raises(ValueError, match=r"model is .* \(\w+\); .*LLM2VecGen\.from_pretrained"):
            ask(given, QUERY)
