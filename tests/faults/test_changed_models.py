"""A model whose tokenizer or base config has changed is another one, though its weights are not."""

from __future__ import annotations

import json
import pickle

import pytest
from broken_checkpoints import edit_json, load
from llama_index.core.storage.kvstore import SimpleKVStore

from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding


def read_digits_one_by_one(folder):
    before = json.loads((folder / "tokenizer.json").read_text())["pre_tokenizer"]
    parts = [{"type": "Digits", "individual_digits": True}, before]
    both = {"type": "Sequence", "pretokenizers": parts}
    edit_json(folder / "tokenizer.json", pre_tokenizer=both)


def forget_a_merge(folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    edit_json(folder / "tokenizer.json", model=model | {"merges": model["merges"][:-1]})


def change_a_norm(folder):
    edit_json(folder / "base" / "config.json", rms_norm_eps=1e-2)


@pytest.fixture(params=[read_digits_one_by_one, forget_a_merge, change_a_norm])
def change(request):
    return request.param


def settings(folder):
    where = {"model_name": str(folder), "base_model": str(folder / "base")}
    return where | {"dtype": "float32", "device": "cpu"}


@pytest.mark.parametrize("adapter", [LLM2VecGenEmbeddings, LLM2VecGenEmbedding])
def test_a_pickled_adapter_refuses_it(broken, adapter, change):
    pickled = pickle.dumps(adapter(**settings(broken)))
    change(broken)
    with pytest.raises(CheckpointError, match="its tokenizer or its base model's config"):
        pickle.loads(pickled).loaded_model()


def test_it_uses_no_cached_vector_of_the_other(broken, change):
    cache = SimpleKVStore()
    text = "on 12 May 1234 polar bears swam 5678 km"
    before = LLM2VecGenEmbedding(**settings(broken), embeddings_cache=cache)
    before.get_text_embedding(text)
    change(broken)
    plain = LLM2VecGenEmbedding(**settings(broken))
    cached = LLM2VecGenEmbedding(**settings(broken), embeddings_cache=cache)
    assert cached.get_text_embedding(text) == plain.get_text_embedding(text)


def test_what_changes_no_vector_is_no_change(broken):
    fingerprint = load(broken).fingerprint
    for dtype in ("bfloat16", "int8"):
        assert load(broken, dtype=dtype).fingerprint == fingerprint
    edit_json(broken / "base" / "config.json", use_cache=False, initializer_range=0.5)
    edit_json(broken / "tokenizer.json", decoder=None)
    assert load(broken, attn_implementation="eager").fingerprint == fingerprint
