"""Matrices in oneDNN's layout: the same numbers, and plain again for whoever asks for them."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from reference_kits import KITS, ReferenceKit
from torch import nn

from llm2vec_gen_rag.backbone import laid_out
from llm2vec_gen_rag.backbone.digest import weight_checksums
from llm2vec_gen_rag.backbone.laid_out import LaidOutLinear, lay_back, lay_out, lay_out_once_repaid
from llm2vec_gen_rag.backbone.linear import linear
from llm2vec_gen_rag.backbone.products import has_onednn
from llm2vec_gen_rag.cpu import gradient_forward_for

pytestmark = pytest.mark.skipif(not has_onednn(), reason="torch was built without oneDNN")

DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(
            not laid_out._has_layout(torch.bfloat16), reason="this CPU does not multiply bfloat16"
        ),
    ),
]
TEXTS = ["What is photosynthesis?", "how tall is it", "Plants turn light into sugar. " * 9]


@pytest.fixture(autouse=True)
def _always_faster(monkeypatch):
    """The layout is taken for the faster one, for matrices of any size."""
    monkeypatch.setattr(laid_out, "LEAST_WEIGHTS", 0)
    for way in laid_out.LAID_OUT.values():
        way.set(True)
    yield
    for way in laid_out.LAID_OUT.values():
        way.set(None)


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


def count(backbone):
    return sum(type(module) is LaidOutLinear for module in backbone.modules())


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


def test_a_weight_that_something_else_holds_stays_where_it_is():
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


def test_where_memory_is_short_nothing_is_laid_out(monkeypatch):
    layer, weight = layer_of()
    monkeypatch.setattr(laid_out, "available_memory", lambda: 2 * weight.nbytes - 1)
    lay_out(layer)
    assert_plain(layer, weight)
    monkeypatch.setattr(laid_out, "available_memory", lambda: 2 * weight.nbytes)
    lay_out(layer)
    assert type(layer) is LaidOutLinear


def test_small_matrices_are_left_as_they_are(monkeypatch):
    layer, weight = layer_of()
    monkeypatch.setattr(laid_out, "LEAST_WEIGHTS", weight.numel() + 1)
    lay_out(layer)
    assert_plain(layer, weight)


def test_a_layer_is_laid_out_once_enough_forwards_are_to_come():
    layer, _ = layer_of()
    for _ in range(laid_out.REPAID_AFTER - 1):
        lay_out_once_repaid(layer, 1)
        assert type(layer) is nn.Linear
    lay_out_once_repaid(layer, 1)
    assert type(layer) is LaidOutLinear
    lay_back(layer)
    lay_out_once_repaid(layer, 1)
    assert type(layer) is nn.Linear
    lay_out_once_repaid(layer, laid_out.REPAID_AFTER)
    assert type(layer) is LaidOutLinear


def test_threads_that_read_and_multiply_meanwhile_are_not_disturbed():
    layer, weight = layer_of(bias=False)
    inputs = torch.ones(2, 48)
    expected = F.linear(inputs, weight)
    done = threading.Event()

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
        for _ in range(300):
            lay_out(layer)
            lay_back(layer)
        done.set()
        for each in watched:
            each.result()


@pytest.fixture(params=KITS)
def kit(request):
    return ReferenceKit(request.param)


@pytest.mark.parametrize("dtype", DTYPES)
def test_embeds_and_writes_the_same(kit, dtype):
    plain, model = (kit.load(dtype=dtype) for _ in range(2))
    lay_out(model.backbone)
    assert count(model.backbone) > 0
    vectors = model.encode(TEXTS)
    assert (vectors * plain.encode(TEXTS)).sum(axis=1).min() > 1 - 1e-5
    if dtype == torch.float32:  # in bfloat16 two tokens of random weights are as likely
        assert model.decode(TEXTS, max_new_tokens=8) == plain.decode(TEXTS, max_new_tokens=8)
        assert model.answer(TEXTS[:1], max_new_tokens=8) == plain.answer(
            TEXTS[:1], max_new_tokens=8
        )


def test_generate_reads_what_is_laid_out(kit):
    plain, model = kit.load(), kit.load()
    lay_out(model.backbone)
    laid = count(model.backbone)
    ids = torch.arange(5)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            model.backbone(ids).logits, plain.backbone(ids).logits, atol=1e-4, rtol=1e-4
        )
    assert count(model.backbone) == laid


def test_a_call_that_writes_lays_out_and_a_single_question_does_not(kit):
    model = kit.load()
    model.encode(TEXTS[0])
    assert count(model.backbone) == 0
    model.decode(TEXTS[0], max_new_tokens=laid_out.REPAID_AFTER)
    assert count(model.backbone) > 0


def test_its_weights_hash_and_train_as_before(kit, tmp_path):
    plain, model = kit.load(), kit.load()
    lay_out(model.backbone)
    assert weight_checksums(model.backbone) == weight_checksums(plain.backbone)
    lay_out(model.backbone)
    model.backbone.save_pretrained(tmp_path)
    assert count(model.backbone) == 0
    lay_out(model.backbone)
    assert gradient_forward_for(model.backbone) is not None
    assert count(model.backbone.base_model) == 0
