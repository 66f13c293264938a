"""What a program sets in torch changes no teacher's vector and no response."""

from __future__ import annotations

import numpy as np
import pytest
from llm2vec_layout import write_llm2vec
from test_torch_settings import SETTINGS

from llm2vec_gen_rag.teachers.backbone_mean import BackboneMeanTeacher
from llm2vec_gen_rag.teachers.llm2vec import LLM2VecTeacher
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher
from llm2vec_gen_rag.training.responses.local import write_responses

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


@pytest.mark.parametrize("decoding", ["greedy", "sampled"])
def test_a_setting_changes_no_response(model, tmp_path, decoding, setting):
    def write(name):
        path = tmp_path / name
        options = {"max_new_tokens": 8, "decoding": decoding, "batch_size": 2}
        write_responses(model.backbone, model.tokenizer, [TEXTS[0], TEXTS[2]], path, **options)
        return path.read_bytes()

    expected = write("outside.jsonl")
    with setting():
        assert write("inside.jsonl") == expected
