"""What a program sets in torch changes no teacher's vector and no response."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from llm2vec_layout import write_llm2vec
from test_torch_settings import SETTINGS
from transformers import GenerationConfig

from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.training.responses.local import write_responses
from llm2vec_gen_rag.training.responses.sampling import SampledTokens, sampling_settings

TEXTS = ["where do polar bears live", "", "Polar bears live on the sea ice. They swim far."]


@pytest.fixture(params=SETTINGS)
def setting(request):
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def llm2vec(tmp_path_factory):
    return write_llm2vec(tmp_path_factory.mktemp("llm2vec"))


def backbone_mean(model, llm2vec, folder):
    return BackboneMeanTeacher(model.backbone, model.tokenizer, name="mean")


def llm2vec_encoder(model, llm2vec, folder):
    return LLM2VecTeacher.load(llm2vec, device="cpu", dtype="float32")


def sentence_transformer(model, llm2vec, folder):
    if not folder.exists():
        model.backbone.base_model.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
    return SentenceTransformersTeacher(str(folder), device="cpu")


@pytest.mark.parametrize("load", [backbone_mean, llm2vec_encoder, sentence_transformer])
def test_a_setting_changes_no_vector_of_a_teacher(model, llm2vec, tmp_path, load, setting):
    teacher = load(model, llm2vec, tmp_path / "encoder")
    vectors, fingerprint = teacher.embed(TEXTS), teacher.fingerprint
    with setting():
        loaded = load(model, llm2vec, tmp_path / "encoder")
        for inside in (teacher, loaded):
            np.testing.assert_array_equal(inside.embed(TEXTS), vectors)
            assert inside.fingerprint == fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), vectors)


@contextmanager
def recorded_logits(backbone):
    """Yield the logits of the forwards in the block, from which the ids are chosen."""
    logits = []
    hook = backbone.get_output_embeddings().register_forward_hook(
        lambda module, args, output: logits.append(output)
    )
    try:
        yield logits
    finally:
        hook.remove()


def responses(backbone, tokenizer, path, decoding):
    """Return the file of responses, and the logits that they were chosen from."""
    options = {"max_new_tokens": 8, "decoding": decoding, "batch_size": 2}
    with recorded_logits(backbone) as logits:
        write_responses(backbone, tokenizer, [TEXTS[0], TEXTS[2]], path, **options)
    return path.read_bytes(), logits


BOTH = ("autocast", "inference_mode", "gradient")
# another default device reaches what sampling makes, another default dtype what it draws: see below
REACHING = [(name, how) for name in BOTH for how in ("greedy", "sampled")]
REACHING += [("device_block", "sampled"), ("set_default_device", "sampled")]


@pytest.mark.parametrize(("setting", "decoding"), REACHING)
def test_a_setting_changes_no_response(fresh_model, tmp_path, decoding, setting):
    backbone, tokenizer = fresh_model.backbone.requires_grad_(True), fresh_model.tokenizer
    backbone.generation_config.do_sample = True
    text, expected = responses(backbone, tokenizer, tmp_path / "outside.jsonl", decoding)
    with SETTINGS[setting]():
        inside, logits = responses(backbone, tokenizer, tmp_path / "inside.jsonl", decoding)
    assert inside == text
    for found, other in zip(logits, expected, strict=True):
        assert not found.is_inference()
        assert not found.requires_grad
        assert found.dtype == other.dtype
        assert torch.equal(found, other)


def test_a_default_dtype_changes_no_draw():
    rows, steps = range(100), 100
    logits = torch.zeros(len(rows), 50)
    settings = sampling_settings(GenerationConfig(do_sample=True, top_k=0))
    prompts, cpu = [np.array([0])] * len(rows), torch.device("cpu")

    def drawn():
        pick = SampledTokens(settings, prompts, rows, max_new_tokens=steps, device=cpu)
        return [pick(logits, rows).tolist() for _ in range(steps)]

    expected = drawn()
    with SETTINGS["float16"]():
        assert drawn() == expected
