"""Cross-entropy of the LLM's answer given the soft prompts: -log P_LLM(answer | p_1..p_K).

The gradient is computed with it, a few rows at a time. So the logits of all rows never exist at
once: with a large vocabulary they would be the largest tensor of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LOGIT_ROWS = 128  # of logits at a time: enough for the full rate of the output layer
FLOAT_ROWS = 32  # of them in float32 at a time, so that there is no second copy of all


def reconstruction_loss(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """Return the mean cross-entropy over all answer tokens of the batch.

    Args:
        states: (answer tokens, hidden), the last hidden states that predict each answer token.
        labels: (answer tokens,), the answer tokens themselves.
        head: the LLM's output layer, frozen: states to logits, (..., vocabulary).

    Returns:
        A scalar that carries gradient to the states.
    """
    loss: Tensor = _CrossEntropy.apply(states, labels, head)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose gradient is computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
        loss = torch.zeros((), device=labels.device)
        gradient = torch.empty_like(states)
        for start in range(0, len(states), LOGIT_ROWS):
            rows = slice(start, start + LOGIT_ROWS)
            added, gradient[rows] = _mean_cross_entropy(
                states[rows], labels[rows], head, len(states)
            )
            loss += added
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * scale.to(gradient.dtype), None, None


def _mean_cross_entropy(
    states: Tensor, labels: Tensor, head: nn.Module, count: int
) -> tuple[Tensor, Tensor]:
    """Return the share of some rows in the mean of -log softmax(head(states))_label.

    Its gradient in the states is returned with it. Nothing as large as the logits outlives the
    call.
    """
    with torch.enable_grad():
        part = states.detach().requires_grad_()
        logits = head(part)
    logit_gradient = logits.detach()  # overwrites the logits, which are not used again
    pieces = zip(logit_gradient.split(FLOAT_ROWS), labels.split(FLOAT_ROWS), strict=True)
    loss = torch.stack([_cross_entropy(*piece, count) for piece in pieces]).sum()
    (gradient,) = torch.autograd.grad(logits, part, logit_gradient)
    return loss, gradient


def _cross_entropy(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the sum of -log softmax(z)_label / count.

    Args:
        logits: z, (rows, vocabulary), overwritten by (softmax(z) - onehot(label)) / count.
        labels: (rows,).
        count: what the sum is divided by.
    """
    labelled = torch.arange(len(labels), device=labels.device), labels
    probabilities = logits.to(torch.float32, copy=True)
    probabilities -= probabilities.amax(dim=-1, keepdim=True)
    wanted = probabilities[labelled]
    total = probabilities.exp_().sum(dim=-1, keepdim=True)
    probabilities.div_(total)[labelled] -= 1
    logits.copy_(probabilities.div_(count))
    return (total.log().sum() - wanted.sum()) / count
