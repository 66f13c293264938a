"""How many of torch's threads a forward uses: one for small products, else those that are set."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.backbone import threads
from llm2vec_gen_rag.explain import logit_lens


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(model):
    """The number of threads at each run of the first layer."""
    counts: list[int] = []
    norm = model.backbone.base_model.layers[0].self_attn.q_proj
    hook = norm.register_forward_pre_hook(lambda *_: counts.append(torch.get_num_threads()))
    yield counts
    hook.remove()


USES = {
    "encode": lambda model: model.encode(["a text"] * 3),
    "encode_query": lambda model: model.encode_query("a question"),
    "decode": lambda model: model.decode("a text", max_new_tokens=2),
    "answer": lambda model: model.answer("a question", max_new_tokens=2),
    "logit_lens": lambda model: logit_lens(model, "a text"),
}


@pytest.mark.parametrize("use", USES)
def test_small_products_run_on_one_thread_and_the_number_is_restored(model, seen, use):
    USES[use](model)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("use", USES)
def test_large_products_keep_the_threads(model, seen, monkeypatch, use):
    monkeypatch.setattr(threads, "SMALL_MATRIX", 0)
    USES[use](model)
    assert set(seen) == {2}


def test_one_thread_stays_one(model, seen):
    torch.set_num_threads(1)
    model.encode("a text")
    assert set(seen) == {1}
    assert torch.get_num_threads() == 1


def test_the_number_is_restored_after_an_error(model):
    with pytest.raises(TypeError), threads.fitting_threads(model.backbone, rows=1):
        torch.zeros("no size")
    assert torch.get_num_threads() == 2


def test_many_rows_make_a_product_large(model):
    weights = max(
        module.in_features * module.out_features
        for layer in model.backbone.base_model.layers
        for module in layer.modules()
        if isinstance(module, torch.nn.Linear)
    )
    most = threads.SMALL_PRODUCT // weights
    assert threads.has_small_products(model.backbone, most)
    assert not threads.has_small_products(model.backbone, most + 1)


def test_an_llm_whose_matrices_are_unknown_keeps_the_threads(load_kit):
    model = load_kit("qwen3-10")
    model.backbone.base_model.layers = torch.nn.ModuleList()
    assert not threads.has_small_products(model.backbone, rows=1)
