"""What a program sets in torch for models of its own changes nothing that a model here computes."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from broken_checkpoints import load
from torch.nn.attention import SDPBackend, sdpa_kernel

from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
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


@contextmanager
def precision(holder, name):
    """A precision of float32 products, on a backend of torch or on all of them."""
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # `matmul_precision` leaves one there
    holder.fp32_precision = name
    try:
        yield
    finally:
        holder.fp32_precision = "none"


@contextmanager
def matmul_precision(name):
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def flushed_denormals():
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference_mode": torch.inference_mode,
    "device_block": lambda: torch.device("meta"),
    "set_default_device": lambda: default_device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "gradient": torch.enable_grad,
    "medium": lambda: matmul_precision("medium"),
    "high": lambda: matmul_precision("high"),
    "cudnn": lambda: sdpa_kernel(SDPBackend.CUDNN_ATTENTION),
    "flash": lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION),
    "flush_denormal": flushed_denormals,
    "deterministic": deterministic_algorithms,
}
if hasattr(torch.backends, "fp32_precision"):  # from torch 2.9
    SETTINGS |= {
        "bf16": lambda: precision(torch.backends, "bf16"),
        "onednn_bf16": lambda: precision(torch.backends.mkldnn, "bf16"),
        "onednn_matmul_bf16": lambda: precision(torch.backends.mkldnn.matmul, "bf16"),
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


def states():
    """Return the settings of the process that a computation here changes for a while."""
    backends = torch.backends
    precisions = []
    if hasattr(backends, "fp32_precision"):
        holders = (backends, backends.mkldnn, backends.mkldnn.matmul, backends.cuda.matmul)
        precisions = [holder.fp32_precision for holder in holders]
    try:
        precisions.append(torch.get_float32_matmul_precision())
    except RuntimeError:  # it differs from one of those above
        precisions.append("undefined")
    cuda = backends.cuda
    attentions = [cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()]
    return precisions, attentions, backends.mkldnn.enabled


def test_a_setting_is_as_it_was_after_a_call(broken, setting):
    model = load(broken, dtype="bfloat16")
    with setting():
        before = states()
        computed(model)
        assert states() == before


@pytest.mark.parametrize("name", ["medium", "high"])
def test_a_setting_is_put_back_by_the_last_of_the_blocks_that_overlap(name):
    first, last = ExitStack(), ExitStack()
    with matmul_precision(name), last, first:
        first.enter_context(torch_defaults())
        last.enter_context(torch_defaults())
        first.close()
        assert torch.get_float32_matmul_precision() == "highest"
        last.close()
        assert torch.get_float32_matmul_precision() == name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_setting_is_put_back_in_a_child_that_was_forked_meanwhile():
    with matmul_precision("medium"), torch_defaults():
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.get_float32_matmul_precision() == "medium" else 1)
        assert torch.get_float32_matmul_precision() == "highest"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
