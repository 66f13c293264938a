"""What both frameworks' adapters promise: vectors, sides, settings, copies, and their extra."""

from __future__ import annotations

import asyncio
import copy
import doctest
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hidden_modules import import_without
from transformers import AutoTokenizer
from watched_forwards import watch_forwards

from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.errors import BaseModelError, CheckpointError

TEXTS = ["a table:\n1 | 2\n3 | 4", "one two three", "", "The yen is Japan's money.", "four"]


@pytest.fixture
def embedding(shared_embedding):
    return shared_embedding


def differ(one, other):
    return np.abs(np.subtract(one, other)).max() > 1e-4


def same(one, other):
    np.testing.assert_allclose(one, other, atol=1e-6)
    return True


# --- vectors


def test_a_name_and_a_loaded_model_give_the_models_own_vectors(framework, qwen3, model):
    for embedding in (framework.adapter(**qwen3.settings), framework.adapter(model=model)):
        assert same(framework.documents(embedding, TEXTS), model.encode_document(TEXTS))
        assert same(framework.query(embedding, TEXTS[1]), model.encode_query(TEXTS[1]))


def test_vectors_are_lists_of_python_floats_of_length_one(framework, embedding, model):
    vectors = [*framework.documents(embedding, TEXTS), framework.query(embedding, "x")]
    assert {type(vector) for vector in vectors} == {list}
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert {len(vector) for vector in vectors} == {model.dimension}
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_normalize_false_keeps_the_length(framework, model):
    vector = framework.query(framework.adapter(model=model, normalize=False), "x")
    assert abs(np.linalg.norm(vector) - 1) > 1e-3


def test_newlines_reach_the_model(framework, embedding, model):
    broken, joined = framework.documents(embedding, ["one\ntwo", "one two"])
    assert same(broken, model.encode_document("one\ntwo"))
    assert differ(broken, joined)


def test_nothing_in_nothing_out(framework, embedding):
    assert framework.documents(embedding, []) == []


def test_each_side_has_the_models_instruction_unless_told_otherwise(framework, embedding, model):
    assert embedding.query_instruction == model.prompts.for_query("retrieval")
    assert embedding.document_instruction == model.prompts.document
    for instruction in ("Say: ", ""):
        told = framework.adapter(
            model=model, query_instruction="Ask: ", document_instruction=instruction
        )
        assert same(framework.query(told, "x"), model.encode("x", instruction="Ask: "))
        (document,) = framework.documents(told, ["x"])
        assert same(document, model.encode("x", instruction=instruction))
    assert differ(framework.query(embedding, "x"), framework.query(told, "x"))


def test_task_chooses_the_query_instruction(framework, model):
    embedding = framework.adapter(model=model, task="sts")
    assert same(framework.query(embedding, "x"), model.encode_query("x", task="sts"))


def test_max_length_reaches_the_model(framework, model):
    long = "word " * 100
    short = framework.adapter(model=model, query_instruction="", max_length=32)
    whole = framework.adapter(model=model, query_instruction="")
    expected = model.encode(long, instruction="", max_length=32)
    assert same(framework.query(short, long), expected)
    assert differ(framework.query(short, long), framework.query(whole, long))


def test_a_list_goes_to_the_model_whole(framework, embedding, model):
    texts = [f"text {i} " + "and more " * (i % 7) for i in range(150)]
    with watch_forwards(model) as direct:
        model.encode_document(texts)
    with watch_forwards(model) as adapted:
        framework.documents(embedding, texts)
    assert adapted.rows == direct.rows
    assert max(adapted.rows) > 1


def test_batch_size_reaches_the_model(framework, model):
    with watch_forwards(model) as seen:
        framework.documents(framework.adapter(model=model, batch_size=2), ["a", "b", "c", "d"])
    assert seen.rows == [2, 2]


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither of model and model_name"),
        ({"model_name": "almanac", "model": "almanac"}, "both of model and model_name"),
        ({"model": "almanac"}, "model is a str; expected a loaded LLM2VecGen"),
        ({"model_name": "almanac", "batchsize": 3}, "batchsize"),
        ({"model_name": "almanac", "max_length": 0}, "max_length"),
    ],
)
def test_wrong_settings_are_refused(framework, settings, message):
    with pytest.raises(ValueError, match=message):
        framework.adapter(**settings)


def test_a_loaded_model_cannot_be_loaded_differently(framework, model):
    with pytest.raises(ValueError, match="got device beside model="):
        framework.adapter(model=model, device="cpu")


def test_a_folder_may_be_a_path(framework, embedding, qwen3):
    paths = {"model_name": qwen3.checkpoint, "base_model": qwen3.base}
    assert all(isinstance(path, Path) for path in paths.values())
    named = framework.adapter(**qwen3.settings | paths)
    assert named.model_name == str(qwen3.checkpoint)
    assert framework.query(named, "x") == framework.query(embedding, "x")


def test_what_the_model_refuses_reaches_the_caller(framework, qwen3):
    with pytest.raises(ValueError, match="device='gpu'"):
        framework.adapter(**qwen3.settings | {"device": "gpu"})
    with pytest.raises(BaseModelError, match="pass base_model="):
        framework.adapter(**qwen3.settings | {"base_model": "/nowhere"})
    with pytest.raises(ValueError, match="truncate_dim is 8"):
        framework.adapter(**qwen3.settings, truncate_dim=8)


def test_an_unknown_task_is_reported(framework, model):
    with pytest.raises(ValueError, match="unknown task 'cooking'"):
        framework.adapter(model=model, task="cooking")


@pytest.mark.parametrize("field", ["model_name", "query_instruction"])
def test_what_describes_the_model_cannot_be_changed_under_it(framework, model, field):
    embedding = framework.adapter(model=model)
    with pytest.raises(ValueError, match="frozen"):
        setattr(embedding, field, "another")


@pytest.mark.parametrize("query", [None, 3, ["a list"]])
async def test_a_query_that_is_no_string_is_refused(framework, embedding, query):
    with pytest.raises(ValueError, match=r"texts\[0\] is .*; expected a string"):
        framework.query(embedding, query)
    with pytest.raises(ValueError, match=r"texts\[0\] is .*; expected a string"):
        await framework.aquery(embedding, query)


@pytest.mark.parametrize(
    ("documents", "row"), [(["fine", None], 1), (["fine", 3], 1), ([["x"]], 0)]
)
async def test_documents_that_are_no_strings_are_refused(framework, embedding, documents, row):
    with pytest.raises(ValueError, match=rf"texts\[{row}\] is .*; expected a string"):
        framework.documents(embedding, documents)
    with pytest.raises(ValueError, match=rf"texts\[{row}\] is .*; expected a string"):
        await framework.adocuments(embedding, documents)


# --- saved settings


def test_saved_settings_give_the_same_vectors(framework, qwen3):
    settings = {"query_instruction": "Ask: ", "max_length": 64}
    embedding = framework.adapter(**qwen3.settings, **settings)
    saved = framework.saved(embedding)
    assert json.loads(json.dumps(saved)) == saved
    again = framework.loaded(saved)
    assert framework.saved(again) == saved
    assert framework.query(again, "x") == framework.query(embedding, "x")
    assert framework.documents(again, ["x"]) == framework.documents(embedding, ["x"])


def test_saved_settings_of_another_checkpoint_are_refused(framework, qwen3):
    saved = framework.saved(framework.adapter(**qwen3.settings))
    with pytest.raises(CheckpointError, match="config has changed"):
        framework.loaded({**saved, "fingerprint": "of another model"})


def test_what_is_saved_decides_the_vectors(framework, model, other_model):
    plain = framework.saved(framework.adapter(model=model))
    assert framework.saved(framework.adapter(model=model, batch_size=2)) == plain
    for settings in (
        {"model": other_model},
        {"model": model, "query_instruction": "Ask: "},
        {"model": model, "document_instruction": "Say: "},
        {"model": model, "max_length": 64},
        {"model": model, "normalize": False},
    ):
        assert framework.saved(framework.adapter(**settings)) != plain


# --- copies


def test_a_pickled_copy_loads_its_model_at_its_first_text(framework, qwen3):
    embedding = framework.adapter(**qwen3.settings, query_instruction="Ask: ", max_length=64)
    pickled = pickle.dumps(embedding)
    again = pickle.loads(pickled)
    assert len(pickled) < 4096
    assert again.model is None
    assert framework.query(again, "x") == framework.query(embedding, "x")
    assert framework.documents(again, ["x"]) == framework.documents(embedding, ["x"])
    assert framework.saved(again) == framework.saved(embedding)
    assert again.device == embedding.device


def test_a_pickled_copy_of_a_loaded_model_loads_it_from_where_it_came(framework, embedding):
    again = pickle.loads(pickle.dumps(embedding))
    assert framework.documents(again, ["x"]) == framework.documents(embedding, ["x"])


async def test_a_pickled_copy_loads_off_the_event_loop(framework, qwen3):
    embedding = framework.adapter(**qwen3.settings)
    again = pickle.loads(pickle.dumps(embedding))
    vectors = await asyncio.gather(*(framework.aquery(again, "x") for _ in range(3)))
    assert vectors == [framework.query(embedding, "x")] * 3


def test_a_pickled_copy_refuses_a_changed_checkpoint(framework, qwen3):
    cls, (settings,) = framework.adapter(**qwen3.settings).__reduce__()
    again = cls({**settings, "fingerprint": "of another model"})
    with pytest.raises(CheckpointError, match="of another model"):
        framework.query(again, "x")


def test_a_model_that_is_nowhere_cannot_be_pickled(framework, qwen3, model):
    tokenizer = AutoTokenizer.from_pretrained(qwen3.base)
    untrained = LLM2VecGen.initialise(model.backbone, tokenizer, dimension=8)
    embedding = framework.adapter(model=untrained)
    assert len(framework.query(embedding, "x")) == 8
    with pytest.raises(pickle.PicklingError, match="'untrained' is in memory only"):
        pickle.dumps(embedding)


def test_a_deep_copy_shares_the_model(framework, embedding):
    again = copy.deepcopy(embedding)
    assert again is not embedding
    assert again.model is embedding.model
    assert framework.query(again, "x") == framework.query(embedding, "x")


# --- the extra, and the example


def test_without_the_framework_the_error_names_the_extra(framework):
    done = import_without(framework.requires, framework.module.__name__)
    assert done.stderr == ""
    assert f"pip install 'llm2vec-gen-rag[{framework.extra}]'" in done.stdout


def test_importing_the_adapter_imports_no_torch(framework):
    program = f"import sys, {framework.module.__name__}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.usefixtures("restored_settings")
def test_the_example_of_the_docstring(framework):
    result = doctest.testmod(sys.modules[framework.adapter.__module__])
    assert result.attempted >= 5
    assert result.failed == 0
