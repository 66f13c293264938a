"""Parts of a checkpoint that are swapped, missing or at odds: what can be known is said."""

from __future__ import annotations

import os

import numpy as np
import pytest
import yaml
from broken_checkpoints import edit_json, load, refused

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.prompts import Prompts

HEADS = ("reconstruction_mlp", "alignment_mlp")


@pytest.fixture
def square(model, tmp_path, qwen3):
    """A saved checkpoint whose two heads have the same sizes."""
    fresh = LLM2VecGen.initialise(
        model.backbone,
        type(model.tokenizer).from_pretrained(qwen3.base),
        response_tokens=2,
        dimension=model.reconstruction.out_features,
    )
    fresh.prompts = Prompts(query={"retrieval": "Answer: "}, document="Read: ")
    fresh.save_pretrained(tmp_path / "square")
    return tmp_path / "square"


def on(folder, qwen3):
    return load(folder, base_model=qwen3.base)


def test_swapped_heads_of_the_same_sizes(square, qwen3):
    on(square, qwen3)
    first, second = (square / name for name in HEADS)
    os.replace(first, square / "other")
    os.replace(second, first)
    os.replace(square / "other", second)
    refused(square, CheckpointError, "was saved as alignment_mlp.*swapped", base_model=qwen3.base)


def test_one_head_in_place_of_both(square, qwen3):
    (square / HEADS[1]).write_bytes((square / HEADS[0]).read_bytes())
    refused(square, CheckpointError, "was saved as reconstruction_mlp", base_model=qwen3.base)


def test_instructions_that_were_left_behind_are_missed(square, qwen3, caplog):
    assert on(square, qwen3).prompts.document == "Read: "
    assert not caplog.records
    (square / "prompts.json").unlink()
    assert on(square, qwen3).prompts == Prompts()
    assert "prompts.json is missing" in caplog.text
    on(square, qwen3).save_pretrained(square)
    caplog.clear()
    on(square, qwen3)
    assert not caplog.records


def test_a_checkpoint_with_the_published_instructions_misses_none(broken, caplog):
    assert load(broken).prompts == Prompts()
    load(broken).save_pretrained(broken)
    assert "prompts" not in yaml.safe_load((broken / "run_config.yml").read_text())
    load(broken)
    assert not caplog.records


def test_the_bundled_model_says_that_it_has_instructions_of_its_own(caplog):
    model = LLM2VecGen.from_pretrained("almanac", device="cpu")
    assert model._checkpoint.run_config["prompts"] == "prompts.json"
    assert not caplog.records


def test_encoding_modes_at_odds(broken, caplog, model):
    edit_json(broken / "encoder_decoder_config.json", encoding_mode="last_3_tokens")
    odd = load(broken)
    assert odd.compression_tokens == 3
    assert "'last_3_tokens' in" in caplog.text
    assert "in run_config.yml" in caplog.text
    assert not np.allclose(odd.encode("x"), model.encode("x"))
    caplog.clear()
    odd.save_pretrained(broken)
    load(broken)
    assert not caplog.records
