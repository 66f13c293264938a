"""Gradient checkpointing: the same gradients, with layers computed twice."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from training_runs import ANSWERS, QUESTIONS, teacher_of

from llm2vec_gen_rag.training.objective import pair_losses, require_gradients, tokenize_pairs
from llm2vec_gen_rag.training.objective.gradient_checkpointing import recomputed_layers

PRODUCTS = {"aten::mm", "aten::addmm", "mkldnn::_linear_pointwise"}


class CountedProducts(TorchDispatchMode):
    """Counts how often rows are multiplied by a matrix, not counting gradients."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix
        self.runs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._schema.name in PRODUCTS:
            tensors = [given for given in args if isinstance(given, torch.Tensor)]
            by_matrix = any(t.data_ptr() == self.matrix.weight.data_ptr() for t in tensors)
            self.runs += by_matrix and result.shape[-1] == self.matrix.out_features
        return result


def step(model, *, gradient_checkpointing):
    """Return losses, gradients, and how often a product of the first layer ran."""
    require_gradients(model)
    pairs = tokenize_pairs(model, QUESTIONS, ANSWERS, max_length=512)
    teacher = torch.from_numpy(teacher_of(model))
    with CountedProducts(model.backbone.base_model.layers[0].mlp.gate_proj) as counted:
        losses = pair_losses(model, pairs, teacher, gradient_checkpointing=gradient_checkpointing)
        losses.total().backward()
    trained = [model.response_tokens, *model.reconstruction.parameters()]
    trained += model.alignment.parameters()
    trained += [] if model.adapter is None else model.adapter.parameters()
    gradients = [parameter.grad.clone() for parameter in trained]
    for parameter in trained:
        parameter.grad = None
    return losses, gradients, counted.runs


# the question, which has no backward pass, the response tokens and the answer; with LoRA the
# question and the tokens are one pass
@pytest.mark.parametrize(
    ("kit", "kept", "recomputed"),
    [("qwen3-10", 3, 5), ("llama-20-10", 3, 5), ("qwen2-6-4", 3, 5), ("qwen3-10-lora", 2, 4)],
)
def test_gradients_are_the_same(load_kit, kit, kept, recomputed):
    model = load_kit(kit)
    losses, gradients, runs = step(model, gradient_checkpointing=False)
    again, gradients_again, runs_again = step(model, gradient_checkpointing=True)
    assert (runs, runs_again) == (kept, recomputed)
    assert torch.equal(again.reconstruction, losses.reconstruction)
    assert torch.equal(again.alignment, losses.alignment)
    for found, expected in zip(gradients_again, gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_the_layers_are_left_as_they_were(fresh_model):
    layer = fresh_model.backbone.base_model.layers[0]
    before = layer.forward
    with recomputed_layers(fresh_model.backbone):
        assert layer.forward != before
    assert layer.forward == before
    assert "forward" not in vars(layer)


def test_an_llm_without_such_layers_is_refused():
    refusal = pytest.raises(ValueError, match="a Linear has no layers that")
    with refusal, recomputed_layers(nn.Linear(2, 2)):
        pass
