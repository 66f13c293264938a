"""The words of a response token, with the probabilities of the LLM itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.explain import logit_lens
from llm2vec_gen_rag.explain.states import response_states

QUERY = "where do polar bears live"
INSTRUCTION = "Answer this: "


def distributions(model, text):
    """The LLM's own next-token probabilities after each response token, (N, vocabulary)."""
    ids = model.text_tokenizer.token_ids([text])[0]
    embedded = model.backbone.get_input_embeddings()(torch.from_numpy(ids))
    inputs = torch.cat([embedded, model.response_tokens])[None]
    with torch.no_grad():
        logits = model.backbone(inputs_embeds=inputs).logits[0, -model.compression_tokens :]
    return logits.softmax(dim=-1)


def test_probabilities_are_those_of_the_llm_itself(model):
    told, untold = (distributions(model, INSTRUCTION + text) for text in (QUERY, ""))
    read = logit_lens(model, QUERY, instruction=INSTRUCTION, k=4)
    assert len(read) == model.compression_tokens
    for likely, p, q in zip(read, told, untold, strict=True):
        best = (p * (p / q).log()).topk(4).indices
        assert [token.text for token in likely] == [model.tokenizer.decode([i]) for i in best]
        assert [token.probability for token in likely] == pytest.approx(p[best].tolist(), rel=1e-3)
        assert [token.lift for token in likely] == pytest.approx((p / q)[best].tolist(), rel=1e-3)


def test_the_states_are_those_that_the_reference_makes_soft_prompts_of(each_kit, each_model):
    length = each_kit.expected["max_lengths"][0] if "max_lengths" in each_kit.expected else 64
    states = response_states(each_model, each_kit.texts[0], instruction="", max_length=length)
    with torch.no_grad():
        prompts = each_model.reconstruction(states.float()).numpy()
    np.testing.assert_allclose(prompts, each_kit.tensors[f"recon.{length}.0"], atol=1e-5)


def test_more_tokens_than_there_are_gives_all_of_them(model):
    vocabulary = model.backbone.get_output_embeddings().out_features
    read = logit_lens(model, QUERY, k=vocabulary + 1)
    assert {len(likely) for likely in read} == {vocabulary}
    assert sum(token.probability for token in read[0]) == pytest.approx(1, abs=1e-4)


def test_an_empty_text_has_the_likeliest_tokens_and_makes_none_likelier(model):
    likeliest = distributions(model, INSTRUCTION).max(dim=-1).values
    read = logit_lens(model, "", instruction=INSTRUCTION, k=2)
    assert [likely[0].probability for likely in read] == pytest.approx(likeliest.tolist(), rel=1e-3)
    assert {token.lift for likely in read for token in likely} == {1.0}


def test_the_words_of_the_almanac_are_the_answers():
    model = LLM2VecGen.from_pretrained("almanac", dtype="float32", device="cpu")
    query = "what money is used where the Eiffel Tower stands?"
    read = logit_lens(model, query, instruction=model.prompts.for_query("retrieval"), k=3)
    for likely in read:
        assert {token.text for token in likely} <= {" euro", " France", " currency", " French"}
        assert min(token.probability for token in likely) > 0.05
        assert min(token.lift for token in likely) > 50
