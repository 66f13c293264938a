"""sentence-transformers models as teachers: their own vectors, loaded offline from a folder."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from llm2vec_gen_rag.errors import MissingExtraError, TeacherError
from llm2vec_gen_rag.teachers.sentence_transformers import SentenceTransformersTeacher

TEXTS = ["polar bears", "where do polar bears live in the winter, and why?", "a", "ß 北極"]


@pytest.fixture
def folder(fresh_model, tmp_path):
    """A tiny encoder as sentence-transformers lays it out: an LLM, and the mean of its states."""
    fresh_model.backbone.base_model.save_pretrained(tmp_path)
    fresh_model.tokenizer.save_pretrained(tmp_path)
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    described = [
        {
            "idx": int(name),
            "name": name,
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for name, path, kind in modules
    ]
    (tmp_path / "modules.json").write_text(json.dumps(described))
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    (tmp_path / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return tmp_path


def load(folder):
    return SentenceTransformersTeacher(str(folder), device="cpu")


def test_vectors_are_those_of_the_model(folder, fresh_model):
    teacher = load(folder)
    vectors = teacher.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), teacher.dimension) == (4, 64)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = fresh_model.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = fresh_model.backbone(ids, output_hidden_states=True).hidden_states[-1]
        np.testing.assert_allclose(vector, states[0].mean(dim=0), atol=1e-5)


def test_a_text_gets_the_same_vector_in_any_batch(folder):
    teacher = load(folder)
    texts = [*TEXTS, "", *(f"{text} " * 20 for text in TEXTS)] * 5  # more than one of its batches
    together = teacher.embed(texts)
    np.testing.assert_allclose(together[:9], together[36:], atol=1e-5)
    np.testing.assert_allclose(
        together[:9], np.concatenate([teacher.embed([text]) for text in texts[:9]]), atol=1e-5
    )


def test_texts_that_no_tokenizer_reads_have_a_vector(folder):
    teacher = load(folder)
    empty, surrogate = teacher.embed(["", "half a \ud83d"])
    assert not empty.any()
    assert np.isfinite(surrogate).all()
    assert teacher.embed([]).shape == (0, 64)


def test_the_fingerprint_is_that_of_the_weights(folder, fresh_model):
    before = load(folder).fingerprint
    assert load(folder).fingerprint == before
    with torch.no_grad():
        fresh_model.backbone.get_input_embeddings().weight.mul_(1.01)
    fresh_model.backbone.base_model.save_pretrained(folder)
    assert load(folder).fingerprint != before


def test_code_beside_a_model_is_not_run(folder):
    described = json.loads((folder / "modules.json").read_text())
    described[1]["type"] = "pooling_of_its_own.Pooling"
    (folder / "modules.json").write_text(json.dumps(described))
    (folder / "pooling_of_its_own.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(TeacherError, match="needs no code of its own"):
        load(folder)


def test_a_model_that_is_nowhere_is_reported(tmp_path):
    with pytest.raises(TeacherError, match=r"model '.*nowhere' cannot be loaded"):
        load(tmp_path / "nowhere")


def test_a_half_written_model_is_reported(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TeacherError, match="cannot be loaded"):
        load(folder)


def test_a_missing_extra_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'llm2vec-gen-rag\[sentence-tr"):
        SentenceTransformersTeacher("all-MiniLM-L6-v2")
