"""The adapters say who takes the loading options that they do not, and never show a secret."""

from __future__ import annotations

import pickle
import traceback

import pytest
from pydantic import ValidationError

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.langchain import LLM2VecGenEmbeddings
from llm2vec_gen_rag.llama_index import LLM2VecGenEmbedding

SECRET = "hf_" + "secret" * 5
ADAPTERS = [LLM2VecGenEmbeddings, LLM2VecGenEmbedding]
OPTIONS = {
    "cache_folder": "cache",
    "token": SECRET,
    "trust_remote_code": True,
    "quantization_config": object(),
    "device_map": "auto",
    "attn_implementation": "eager",
    "local_files_only": True,
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_loading_is_refused_with_who_takes_it(adapter, option, qwen3):
    with pytest.raises(ValueError, match=f"got {option}, which a loaded model has") as caught:
        adapter(**qwen3.settings, **{option: OPTIONS[option]})
    advice = rf"pass model=LLM2VecGen\.from_pretrained\(\.\.\., {option}=\.\.\.\) in place"
    caught.match(advice)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_all_of_them_at_once_and_what_the_advice_gives(adapter, qwen3, model):
    with pytest.raises(ValueError, match=r"got attn_implementation, cache_folder, device_map, .*"):
        adapter(**qwen3.settings, **OPTIONS)
    settings = dict(qwen3.settings)
    loaded = LLM2VecGen.from_pretrained(
        settings.pop("model_name"), **settings, token=SECRET, attn_implementation="eager"
    )
    embeddings = adapter(model=loaded)
    assert embeddings.fingerprint == model.fingerprint
    shown = repr(embeddings) + str(embeddings.model_dump()) + str(pickle.dumps(embeddings))
    assert SECRET not in shown


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["token", "api_key", "hf_token"])
def test_no_message_shows_what_was_passed(adapter, name, qwen3):
    with pytest.raises(ValidationError) as caught:
        adapter(**qwen3.settings, **{name: SECRET})
    assert name in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_misspelt_setting_is_still_refused(adapter, qwen3):
    with pytest.raises(ValidationError, match="devise"):
        adapter(**qwen3.settings, devise="cpu")
