"""Matrices in oneDNN's layout: the same numbers, and plain again for whoever asks for them."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from layouts import DTYPES, MARKS
from resident import file_pages_mib
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from llm2vec_gen_rag.backbone import laid_out
from llm2vec_gen_rag.backbone.laid_out import LaidOutLinear, lay_back, lay_out_layer
from llm2vec_gen_rag.backbone.laying_out import lay_out
from llm2vec_gen_rag.backbone.linear import linear

pytestmark = MARKS


def layer_of(dtype=torch.float32, *, bias=True):
    torch.manual_seed(0)
    layer = nn.Linear(48, 40, bias=bias, dtype=dtype).requires_grad_(requires_grad=False)
    return layer, layer.weight.clone()


def laid_out_layer(dtype=torch.float32, *, bias=True):
    """Return a layer that is laid out, and its weight."""
    layer, weight = layer_of(dtype, bias=bias)
    lay_out(layer)
    assert type(layer) is LaidOutLinear
    return layer, weight


def assert_plain(layer, weight):
    assert type(layer) is nn.Linear
    assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_the_product_is_that_of_the_plain_weight(dtype, bias, rows):
    layer, weight = laid_out_layer(dtype, bias=bias)
    inputs = torch.randn(rows, 48, dtype=dtype)
    expected = F.linear(inputs, weight, layer.bias)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for found in (layer(inputs), linear(layer, inputs), layer(inputs[None])[0]):
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert type(layer) is LaidOutLinear


READERS = {
    "the weight": lambda layer: layer.weight,
    "parameters": lambda layer: list(layer.parameters()),
    "named parameters": lambda layer: dict(layer.named_parameters()),
    "a state dict": lambda layer: layer.state_dict(),
    "a copy": copy.deepcopy,
    "a pickle": pickle.dumps,
    "gradients": lambda layer: layer.requires_grad_().requires_grad_(requires_grad=False),
    "shared memory": lambda layer: layer.share_memory(),
    "a product under gradient": lambda layer: layer(torch.randn(2, 48, requires_grad=True)),
    "a product of one vector": lambda layer: layer(torch.randn(48)),
    "weights as arguments": lambda layer: torch.func.functional_call(
        layer, {"bias": torch.zeros(40)}, torch.randn(2, 48)
    ),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_whoever_reads_the_weight_finds_it_plain_and_unchanged(read):
    layer, weight = laid_out_layer()
    read(layer)
    assert_plain(layer, weight)


def test_a_copy_and_a_pickle_are_plain():
    for made in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        layer, weight = laid_out_layer()
        assert_plain(made(layer), weight)


def test_a_weight_of_other_numbers_is_the_one_that_multiplies():
    layer, _ = laid_out_layer(bias=False)
    layer.weight = nn.Parameter(torch.ones(40, 48), requires_grad=False)
    assert torch.equal(layer(torch.ones(1, 48)), torch.full((1, 40), 48.0))
    layer, _ = laid_out_layer(bias=False)
    layer.weight.data.fill_(2)
    lay_out(layer)
    assert torch.equal(layer(torch.ones(1, 48)), torch.full((1, 40), 96.0))
    layer.load_state_dict({"weight": torch.ones(40, 48)})
    assert torch.equal(layer(torch.ones(1, 48)), torch.full((1, 40), 48.0))


def test_a_bias_that_is_trained_alone_gets_its_gradient():
    layer, _ = laid_out_layer()
    layer.bias.requires_grad_()
    layer(torch.ones(3, 48)).sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((40,), 3.0))


def test_a_tangent_passes_through_a_laid_out_layer():
    layer, weight = laid_out_layer(bias=False)
    _, tangent = torch.func.jvp(layer, (torch.randn(2, 48),), (torch.ones(2, 48),))
    torch.testing.assert_close(tangent, weight.sum(1).expand(2, 40))


def test_gradient_flows_through_a_laid_out_layer():
    layer, weight = laid_out_layer(bias=False)
    inputs = torch.randn(3, 48, requires_grad=True)
    layer(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, weight.sum(0).expand(3, 48))


def test_a_weight_laid_back_in_inference_mode_can_be_trained_through():
    layer, weight = laid_out_layer(bias=False)
    with torch.inference_mode():
        assert torch.equal(layer.weight, weight)
    inputs = torch.randn(3, 48, requires_grad=True)
    layer(inputs).sum().backward()  # torch keeps no inference tensor for that


def test_autocast_and_other_dtypes_are_left_to_torch():
    layer, _ = laid_out_layer(bias=False)
    inputs = torch.randn(3, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
    layer, _ = laid_out_layer(bias=False)
    assert layer.to(torch.float64)(inputs.double()).dtype == torch.float64


def test_a_hook_of_a_user_is_called():
    layer, _ = laid_out_layer()
    seen = []
    layer.register_forward_hook(lambda *given: seen.append(len(given[1][0])))
    linear(layer, torch.randn(5, 48))
    assert seen == [5]


def doubled(layer):
    layer.__class__ = type("Doubled", (nn.Linear,), {})
    return layer


def wrapped(layer):
    forward = layer.forward
    layer.forward = lambda inputs: forward(inputs) + layer.weight.sum()
    return layer


@pytest.mark.parametrize(
    "other",
    [
        doubled,
        wrapped,
        lambda layer: layer.requires_grad_(),
        lambda layer: layer.double(),
        lambda layer: layer.to("meta"),
    ],
    ids=["a class of its own", "a wrapped forward", "trained", "float64", "not in memory"],
)
def test_other_layers_are_left_alone(other):
    layer, _ = layer_of()
    layer = other(layer)
    kind = type(layer)
    lay_out(layer)
    assert type(layer) is kind


@pytest.mark.parametrize(
    "hold",
    [
        lambda layer: layer.weight.data,
        lambda layer: layer.state_dict(),
        lambda layer: layer.weight[:1].detach(),
        lambda layer: layer.weight.numpy(),
        lambda layer: list(layer.parameters()),
        lambda layer: layer.share_memory(),
    ],
    ids=["its data", "a state dict", "a view", "numpy", "a list", "other processes"],
)
def test_a_weight_that_something_else_may_change_stays_where_it_is(hold):
    layer, _ = layer_of()
    held = hold(layer)
    lay_out(layer)
    assert type(layer) is nn.Linear
    del held


def test_an_optimizer_that_holds_a_weight_changes_it():
    layer, _ = layer_of(bias=False)
    held = list(layer.parameters())
    lay_out(layer)
    held[0].data.zero_()  # as an optimizer or a merge of updates does
    assert torch.equal(layer(torch.ones(1, 48)), torch.zeros(1, 40))
    del held
    lay_out(layer)
    assert type(layer) is LaidOutLinear


def test_a_weight_that_two_layers_share_stays_theirs():
    embedding, head = nn.Embedding(40, 48), nn.Linear(48, 40, bias=False)
    head.weight = embedding.weight
    tied = nn.ModuleList([embedding, head]).requires_grad_(requires_grad=False)
    lay_out(tied)
    assert type(head) is nn.Linear
    assert head.weight is embedding.weight


def test_threads_that_read_and_multiply_meanwhile_are_not_disturbed():
    layer, weight = layer_of(bias=False)
    inputs = torch.ones(2, 48)
    expected = F.linear(inputs, weight)
    done, laid_out = threading.Event(), 0

    def watch(product):
        while not done.is_set():
            torch.testing.assert_close(product(), expected, atol=1e-5, rtol=1e-5)

    products = [
        lambda: layer(inputs),
        lambda: linear(layer, inputs),
        lambda: F.linear(inputs, layer.weight),
        lambda: F.linear(inputs, next(layer.parameters())),
    ]
    with ThreadPoolExecutor() as threads:
        watched = [threads.submit(watch, product) for product in products]
        try:
            for _ in range(300):
                lay_out_layer(layer)  # though others hold the weight, which they only read
                laid_out += type(layer) is LaidOutLinear
                lay_back(layer)
        finally:
            done.set()
        for each in watched:
            each.result()
    assert laid_out > 100


class _StoppedError(Exception):
    pass


def test_what_interrupts_a_reader_loses_no_weight(monkeypatch):
    def stop(*_, **__):
        raise _StoppedError

    layer, weight = laid_out_layer(bias=False)
    with monkeypatch.context() as patch:
        patch.setattr(laid_out.nn, "Parameter", stop)  # the last that can fail, as memory may
        with pytest.raises(_StoppedError):
            layer.state_dict()
    assert type(layer) is LaidOutLinear
    inputs = torch.ones(1, 48)
    torch.testing.assert_close(layer(inputs), F.linear(inputs, weight))
    assert torch.equal(layer.weight, weight)


MUTATORS = {
    "update": lambda held, weight: held.update({"weight": weight}),
    "setdefault": lambda held, weight: held.setdefault("weight", None).data.copy_(weight),
    "pop": lambda held, weight: held.update(weight=weight) if held.pop("weight") is not None else 0,
    "assignment": lambda held, weight: held.__setitem__("weight", weight),
    "a merge": lambda held, weight: held.__ior__({"weight": weight}),
    "a copy": lambda held, weight: held.copy()["weight"].data.copy_(weight),
    "a new dictionary": lambda held, weight: dict(held)["weight"].data.copy_(weight),
    "an unpacked one": lambda held, weight: {**held}["weight"].data.copy_(weight),
}


@pytest.mark.parametrize("change", MUTATORS.values(), ids=MUTATORS)
def test_a_change_of_the_modules_own_dictionary_is_the_weight_that_multiplies(change):
    layer, _ = laid_out_layer(bias=False)
    change(layer.__dict__["_parameters"], nn.Parameter(torch.ones(40, 48), requires_grad=False))
    assert torch.equal(layer(torch.ones(1, 48)), torch.full((1, 40), 48.0))


def test_a_compiled_layer_computes_the_same():
    layer, weight = laid_out_layer(bias=False)
    inputs = torch.randn(2, 48)
    found = torch.compile(layer, backend="eager")(inputs)
    torch.testing.assert_close(found, F.linear(inputs, weight))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_weight_of_a_file_is_not_in_memory_twice(tmp_path):
    numbers = torch.randn(2048, 1024)
    save_file({"weight": numbers}, tmp_path / "weights")
    layer = nn.Linear(1024, 2048, bias=False, device="meta")
    with safe_open(tmp_path / "weights", framework="pt") as file:
        layer.weight = nn.Parameter(file.get_tensor("weight"), requires_grad=False)
    layer(torch.ones(1, 1024))
    before = file_pages_mib()
    lay_out(layer)
    assert type(layer) is LaidOutLinear
    assert before - file_pages_mib() > 7
    assert torch.equal(layer.weight, numbers)
