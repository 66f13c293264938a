"""What a program sets in torch for models of its own changes nothing that a model here computes."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from broken_checkpoints import load

from llm2vec_gen_rag.explain import logit_lens

TEXTS = ["where do polar bears live", "", "Polar bears live on the sea ice. They swim far."]


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference_mode": torch.inference_mode,
    "device_block": lambda: torch.device("meta"),
    "set_default_device": lambda: default_device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "gradient": torch.enable_grad,
}


@pytest.fixture(params=SETTINGS)
def setting(request):
    return SETTINGS[request.param]


def computed(model):
    """Return all that a model computes of some texts."""
    instructed = model.encode_query(TEXTS)
    return {
        "vectors": np.concatenate([model.encode(TEXTS), instructed]),
        "alone": model.encode_query(TEXTS[0]),
        "decoded": model.decode(TEXTS, max_new_tokens=5),
        "answered": model.answer(TEXTS[:1], max_new_tokens=5),
        "explained": logit_lens(model, TEXTS[0], k=2),
        "fingerprint": model.fingerprint,
    }


def assert_same(found, expected):
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value, strict=True)
        else:
            assert found[name] == value


def test_a_setting_around_a_call_changes_nothing(each_model, setting):
    expected = computed(each_model)
    with setting():
        assert_same(computed(each_model), expected)


def test_a_setting_around_the_first_call_changes_no_later_one(broken, setting):
    model = load(broken)
    with setting():
        first = computed(model)
    assert_same(computed(model), first)


def test_a_setting_around_loading_changes_nothing(broken, setting, model):
    expected = computed(model)
    with setting():
        loaded = load(broken)
    assert_same(computed(loaded), expected)
    loaded.alignment.requires_grad_(True)
    loaded.alignment(torch.ones(1, loaded.alignment.in_features)).sum().backward()
    assert loaded.alignment.weight.grad is not None


def test_a_setting_around_a_fresh_model_changes_nothing(fresh_model, setting):
    model = fresh_model

    def fresh():
        initialised = type(model).initialise(
            model.backbone, plain, response_tokens=2, dimension=8, lora_rank=2
        )
        return initialised.fingerprint, initialised.encode(TEXTS)

    plain = type(model.tokenizer).from_pretrained(model.backbone.config.name_or_path)
    fingerprint, vectors = fresh()
    with setting():
        found = fresh()
    assert found[0] == fingerprint
    np.testing.assert_array_equal(found[1], vectors)


def test_a_model_in_another_attention_runs_alike_inside_and_outside(broken, setting):
    model = load(broken, attn_implementation="eager")
    expected = computed(model)
    with setting():
        assert_same(computed(model), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_dtypes_run_alike_inside_and_outside(broken, setting, dtype):
    model = load(broken, dtype=dtype)
    expected = computed(model)
    with setting():
        assert_same(computed(model), expected)
