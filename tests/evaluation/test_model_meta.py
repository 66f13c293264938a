"""The entry that mteb's registry would have of a model."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("mteb", reason="the extra eval brings it")

import mteb
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.models.model_meta import ModelMeta

from llm2vec_gen_rag.evaluation.model_meta import (
    Declaration,
    load_encoder,
    model_meta,
    smollm2_declaration,
)

DECLARED = Declaration(
    name="organization/tiny",
    release_date="2026-11-26",
    license="mit",
    languages=("eng-Latn", "deu-Latn"),
    training_datasets=frozenset({"NQ"}),
)


@pytest.fixture(scope="module")
def meta(model):
    return model_meta(model, DECLARED)


def test_the_registry_takes_it_and_finds_it(meta, monkeypatch):
    monkeypatch.setitem(MODEL_REGISTRY, meta.name, meta)
    assert mteb.get_model_meta("organization/tiny") == meta
    found = mteb.get_model_metas(languages=["deu"], open_weights=True, use_instructions=True)
    assert meta in found
    assert (meta.is_zero_shot_on(["NQ"]), meta.is_zero_shot_on(["ArguAna"])) == (False, True)
    assert ModelMeta.model_validate(meta.model_dump()) == meta
    assert meta.to_dict()["loader"] == "load_encoder"
    assert meta.openness_score >= 4


def test_sizes_are_those_of_the_model(model, meta):
    assert meta.embed_dim == model.dimension
    table = model.backbone.get_input_embeddings().weight
    assert meta.n_embedding_parameters == table.numel()
    counted = sum(each.numel() for each in model.backbone.parameters())
    counted += model.response_tokens.numel()
    for head in (model.reconstruction, model.alignment):
        counted += head.weight.numel() + head.bias.numel()
    assert meta.n_parameters == counted


def test_low_rank_updates_count(load_kit):
    model = load_kit("qwen3-10-lora")
    updates = sum(each.numel() for each in model.adapter.parameters())
    whole = model_meta(model, DECLARED).n_parameters
    model.adapter = None
    assert whole - model_meta(model, DECLARED).n_parameters == updates > 0


def test_it_loads_the_model_that_was_measured():
    encoder = load_encoder("organization/almanac", source="almanac", device="cpu")
    declared = dataclasses.replace(DECLARED, name="organization/almanac")
    meta = model_meta(encoder.model, declared)
    loaded = meta.load_model(device="cpu")
    assert loaded.model.fingerprint == encoder.model.fingerprint
    assert loaded.mteb_model_meta.name == "organization/almanac"
    with pytest.raises(ValueError, match="expected 'of before'"):
        load_encoder("organization/almanac", "of before", source="almanac")


def test_what_smollm2_declares_are_tasks_of_mteb():
    declared = smollm2_declaration()
    assert {"NQ", "CQADupstackUnixRetrieval", "MSMARCO"} <= declared.training_datasets
    unknown = [name for name in declared.training_datasets if not known(name)]
    assert unknown == []
    assert declared.name == "llm2vec-gen-rag/smollm2"


def known(name):
    try:
        return bool(mteb.get_task(name))
    except KeyError:
        return False
