"""What makes decoding one text fast on a CPU changes no number and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.cpu.single_row import logits_without_copies, quick_single_rows

LAYER = torch.nn.Linear(8, 8)


@pytest.mark.parametrize(
    ("shape", "dtype", "switched_off"),
    [
        ((1, 1, 8), torch.bfloat16, True),
        ((2, 1, 8), torch.bfloat16, False),
        ((1, 2, 8), torch.bfloat16, False),
        ((1, 1, 8), torch.float32, False),
    ],
)
def test_one_row_of_bfloat16_goes_without_onednn(shape, dtype, switched_off):
    assert torch.backends.mkldnn.enabled
    with quick_single_rows(torch.zeros(shape, dtype=dtype), int8=False):
        assert torch.backends.mkldnn.enabled is not switched_off
    assert torch.backends.mkldnn.enabled


def test_layers_in_8_bits_keep_onednn():
    with quick_single_rows(torch.zeros(1, 1, 8, dtype=torch.bfloat16), int8=True):
        assert torch.backends.mkldnn.enabled


def test_onednn_is_back_after_an_error():
    with (
        pytest.raises(KeyError),
        quick_single_rows(torch.zeros(1, 1, 8, dtype=torch.bfloat16), int8=False),
    ):
        raise KeyError
    assert torch.backends.mkldnn.enabled


def test_onednn_that_was_off_stays_off():
    with torch.backends.mkldnn.flags(enabled=False):
        with quick_single_rows(torch.zeros(1, 1, 8, dtype=torch.bfloat16), int8=False):
            pass
        assert not torch.backends.mkldnn.enabled


def test_one_row_comes_to_the_same_as_among_others():
    torch.manual_seed(0)
    states = torch.randn(1, 1, 512).to(torch.bfloat16)
    matrix = torch.randn(256, 512).to(torch.bfloat16)
    with quick_single_rows(states, int8=False):
        alone = torch.nn.functional.linear(states, matrix)
    exact = torch.nn.functional.linear(states.double(), matrix.double())
    torch.testing.assert_close(alone.double(), exact, rtol=1e-2, atol=1e-1)


def test_the_position_that_is_read_is_multiplied_as_a_plain_row(qwen3):
    backbone = qwen3.load().backbone
    head = backbone.get_output_embeddings()
    strides = []
    head.register_forward_hook(lambda _, inputs, __: strides.append(inputs[0].stride()))
    ids = torch.arange(6)[None]
    with torch.no_grad(), logits_without_copies(backbone):
        found = backbone(ids, logits_to_keep=1).logits
        expected = backbone(ids).logits[:, -1:]
    torch.testing.assert_close(found, expected)
    assert strides[0] == (head.in_features, head.in_features, 1)
    assert not head._forward_pre_hooks
