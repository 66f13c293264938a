"""What makes the LLM's own forward decode faster changes no number and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.backbone import device, products
from llm2vec_gen_rag.backbone.own_decoding import OwnDecoding


def step(backbone, inputs):
    """Return the logits after input embeddings (batch, tokens, hidden)."""
    mask = torch.ones(inputs.shape[:2], dtype=torch.long)
    with torch.no_grad():
        return OwnDecoding(backbone, inputs, mask).logits()


def onednn_inside(model, inputs):
    """Return whether oneDNN was enabled while the first layer ran."""
    seen = []
    layer = model.backbone.base_model.layers[0].self_attn.q_proj
    hook = layer.register_forward_pre_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
    try:
        step(model.backbone, inputs)
    finally:
        hook.remove()
    return seen[0]


def inputs_of(model, batch, tokens):
    size = (batch, tokens, model.backbone.config.hidden_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, generator=generator).to(model.backbone.dtype)


@pytest.fixture(scope="module")
def rounded(qwen3):
    return qwen3.load(dtype="bfloat16")


@pytest.fixture
def faster_without_onednn():
    """This processor is taken for one whose rows of bfloat16 are faster without oneDNN."""
    products.ROW_WITHOUT_ONEDNN.set(True)
    yield
    products.ROW_WITHOUT_ONEDNN.set(None)


@pytest.mark.usefixtures("faster_without_onednn")
@pytest.mark.parametrize(
    ("batch", "tokens", "enabled"), [(1, 1, False), (2, 1, True), (1, 2, True)]
)
def test_one_row_of_bfloat16_is_multiplied_without_onednn(rounded, batch, tokens, enabled):
    assert torch.backends.mkldnn.enabled
    assert onednn_inside(rounded, inputs_of(rounded, batch, tokens)) is enabled
    assert torch.backends.mkldnn.enabled


def test_where_onednn_is_faster_it_multiplies_one_row_too(rounded):
    products.ROW_WITHOUT_ONEDNN.set(False)
    try:
        assert onednn_inside(rounded, inputs_of(rounded, 1, 1))
    finally:
        products.ROW_WITHOUT_ONEDNN.set(None)


@pytest.mark.usefixtures("faster_without_onednn")
def test_one_row_of_float32_keeps_onednn(model):
    assert onednn_inside(model, inputs_of(model, 1, 1))


@pytest.mark.usefixtures("faster_without_onednn")
def test_int8_layers_keep_onednn(qwen3, monkeypatch):
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: True)
    model = qwen3.load(dtype="int8")
    assert model.backbone.dtype == torch.bfloat16
    assert onednn_inside(model, inputs_of(model, 1, 1))


@pytest.mark.usefixtures("faster_without_onednn")
def test_onednn_is_enabled_again_after_an_error(rounded):
    def fail(*_):
        raise KeyError

    layer = rounded.backbone.base_model.layers[0].self_attn.q_proj
    hook = layer.register_forward_pre_hook(fail)
    try:
        with pytest.raises(KeyError):
            step(rounded.backbone, inputs_of(rounded, 1, 1))
    finally:
        hook.remove()
    assert torch.backends.mkldnn.enabled
    assert not rounded.backbone.get_output_embeddings()._forward_pre_hooks


def test_onednn_is_enabled_after_two_threads_that_overlap(rounded):
    first, second = products._without_onednn, products._without_onednn
    with first:
        second.__enter__()
    assert not torch.backends.mkldnn.enabled
    second.__exit__(None, None, None)
    assert torch.backends.mkldnn.enabled


def test_onednn_that_was_disabled_stays_disabled(rounded):
    with torch.backends.mkldnn.flags(enabled=False):
        step(rounded.backbone, inputs_of(rounded, 1, 1))
        assert not torch.backends.mkldnn.enabled


@pytest.mark.parametrize("without_onednn", [False, True])
def test_one_row_gives_the_same_result_as_among_others(rounded, without_onednn):
    products.ROW_WITHOUT_ONEDNN.set(without_onednn)
    inputs = inputs_of(rounded, 3, 1)
    try:
        together = step(rounded.backbone, inputs)
        alone = torch.cat([step(rounded.backbone, row[None]) for row in inputs])
    finally:
        products.ROW_WITHOUT_ONEDNN.set(None)
    torch.testing.assert_close(alone.float(), together.float(), rtol=2e-2, atol=2e-2)


def test_the_position_that_is_read_is_multiplied_as_a_plain_row(model):
    head = model.backbone.get_output_embeddings()
    strides = []
    hook = head.register_forward_hook(lambda _, inputs, __: strides.append(inputs[0].stride()))
    inputs = inputs_of(model, 1, 6)
    try:
        found = step(model.backbone, inputs)
    finally:
        hook.remove()
    with torch.no_grad():
        expected = model.backbone(inputs_embeds=inputs).logits[:, -1]
    torch.testing.assert_close(found, expected)
    assert strides[0] == (head.in_features, head.in_features, 1)
    assert not head._forward_pre_hooks
