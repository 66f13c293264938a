"""The frozen LLM as its own teacher."""

from __future__ import annotations

import numpy as np
import torch

from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher


def test_the_backbone_mean_of_a_batch_is_that_of_each_text(fresh_model):
    teacher = BackboneMeanTeacher(fresh_model.backbone, fresh_model.tokenizer, name="mean")
    texts = ["polar bears", "where do polar bears live in the winter", "", "why"]
    together = teacher.embed(texts)
    alone = np.concatenate([teacher.embed([text]) for text in texts])
    assert together.shape == (4, teacher.dimension) == (4, 64)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not together[2].any()
    ids = fresh_model.tokenizer("why", return_tensors="pt")["input_ids"]
    states = fresh_model.backbone(ids, output_hidden_states=True).hidden_states[-1]
    np.testing.assert_allclose(together[3], states[0].mean(dim=0).detach(), atol=1e-5)


def test_texts_of_many_lengths_in_one_forward_have_the_means_of_the_llm_s_own(fresh_model):
    """So many tokens that rows are spare."""
    teacher = BackboneMeanTeacher(fresh_model.backbone, fresh_model.tokenizer, name="mean")
    texts = [" ".join(["polar", "bears", "live"] * count) for count in range(1, 30)]
    vectors = teacher.embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        ids = fresh_model.tokenizer(text, return_tensors="pt")["input_ids"]
        states = fresh_model.backbone(ids, output_hidden_states=True).hidden_states[-1]
        np.testing.assert_allclose(vector, states[0].mean(dim=0).detach(), atol=1e-5)


def test_a_bos_is_read_and_not_averaged(load_kit):
    model = load_kit("llama-20-10")
    teacher = BackboneMeanTeacher(model.backbone, model.tokenizer, name="mean")
    ids = model.tokenizer("why not", return_tensors="pt")["input_ids"]
    assert ids[0, 0] == model.tokenizer.bos_token_id
    states = model.backbone(ids, output_hidden_states=True).hidden_states[-1][0]
    vectors = teacher.embed(["why not", ""])
    np.testing.assert_allclose(vectors[0], states[1:].mean(dim=0).detach(), atol=1e-5)
    assert not vectors[1].any()


def test_the_fingerprint_is_that_of_the_weights(fresh_model):
    teacher = BackboneMeanTeacher(fresh_model.backbone, fresh_model.tokenizer, name="mean")
    before = teacher.fingerprint
    assert teacher.fingerprint == before
    with torch.no_grad():
        fresh_model.backbone.get_input_embeddings().weight.mul_(1.01)
    assert teacher.fingerprint != before
