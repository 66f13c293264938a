"""Whichever kernel multiplies: the product is the layer's, with its bias, updates and hooks."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from llm2vec_gen_rag.backbone import products
from llm2vec_gen_rag.backbone.linear import linear
from llm2vec_gen_rag.backbone.lora import LowRankAdapter, LowRankUpdate

KERNELS = (products.FLOAT32_BY_ONEDNN, products.ROW_BY_PARTS, products.MATRIX_FIRST)
ROWS = (1, 2, 4, 5, 40)
SIZES = ((96, 64), (33, 20), (7, 48))  # not all can be divided into parts


@pytest.fixture(params=itertools.product([False, True], repeat=3), ids=str)
def _each_choice(request):
    """Every choice of kernels."""
    for kernel, answer in zip(KERNELS, request.param, strict=True):
        kernel.set(answer)
    yield
    for kernel in KERNELS:
        kernel.set(None)


def layer_of(size, *, bias=True):
    torch.manual_seed(0)
    return nn.Linear(size[1], size[0], bias=bias).requires_grad_(requires_grad=False)


@pytest.mark.usefixtures("_each_choice")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", ROWS)
def test_is_what_the_layer_computes(size, rows, bias):
    layer, inputs = layer_of(size, bias=bias), torch.randn(rows, size[1])
    found = linear(layer, inputs)
    torch.testing.assert_close(found, layer(inputs), atol=1e-5, rtol=1e-5)
    assert found.is_contiguous()
    found.add_(1)  # a new tensor, which callers change in place


@pytest.mark.usefixtures("_each_choice")
@pytest.mark.parametrize("rows", ROWS)
def test_low_rank_updates_are_added_while_they_are_on(rows):
    layer, inputs = layer_of(SIZES[0]), torch.randn(rows, 64)
    model = nn.ModuleDict({"layer": layer})
    down, up = nn.Parameter(torch.randn(4, 64)), nn.Parameter(torch.randn(96, 4))
    adapter = LowRankAdapter(model, {"layer": LowRankUpdate(down, up, 0.5)})
    plain = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    with torch.no_grad():
        torch.testing.assert_close(linear(layer, inputs), plain, atol=1e-5, rtol=1e-5)
        with adapter.active():
            found = linear(layer, inputs)
    torch.testing.assert_close(found, plain + 0.5 * inputs @ down.T @ up.T, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("_each_choice")
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_users_own_hook_is_called(rows, kind):
    layer, seen = layer_of(SIZES[0]), []
    getattr(layer, kind)(lambda *given: seen.append(len(given[1][0])))
    linear(layer, torch.randn(rows, 64))
    assert seen == [rows]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_forward_that_a_user_has_wrapped_is_called(dtype):
    layer = layer_of(SIZES[0]).to(dtype)
    forward = layer.forward
    layer.forward = lambda inputs: 2 * forward(inputs)
    inputs = torch.randn(3, 64, dtype=dtype)
    assert torch.equal(linear(layer, inputs), 2 * forward(inputs))


@pytest.mark.usefixtures("_each_choice")
def test_an_own_kind_of_layer_computes_itself():
    class Doubled(nn.Linear):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    layer = Doubled(8, 16)
    with torch.no_grad():
        rows = torch.randn(1, 8)
        torch.testing.assert_close(linear(layer, rows), layer(rows))


def test_infinity_in_one_row_stays_in_it():
    rows = torch.ones(3, 64)
    rows[1] = torch.inf
    found = linear(layer_of(SIZES[0]), rows)
    assert torch.isfinite(found[[0, 2]]).all()
    assert not torch.isfinite(found[1]).any()


@pytest.mark.usefixtures("_each_choice")
@pytest.mark.parametrize("rows", ROWS)
def test_under_autocast_the_layer_computes_in_its_dtype(rows):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(layer_of(SIZES[0]), torch.randn(rows, 64)).dtype == torch.bfloat16


def test_without_onednn_nothing_asks_for_it(monkeypatch):
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    monkeypatch.setattr(products, "by_onednn", None)  # calling it would fail
    products.FLOAT32_BY_ONEDNN.set(True)
    try:
        layer, rows = layer_of(SIZES[0]), torch.randn(40, 64)
        torch.testing.assert_close(linear(layer, rows), layer(rows))
    finally:
        products.FLOAT32_BY_ONEDNN.set(None)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.question)
def test_is_measured_in_float32_whatever_the_caller_has_set(kernel):
    kernel.set(None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
            kernel.is_faster()
    finally:
        torch.set_default_dtype(before)
    ways = kernel._ways()
    assert {way().dtype for way in ways} == {torch.float32}
