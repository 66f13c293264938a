"""The LLM's surprise at its own answer behind the soft prompts: -log P_LLM(answer | p_1..p_K).

The gradient comes with it, some rows at a time, so the logits of all rows, for a large vocabulary
the largest tensor of a step, never exist.
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
        states: (answer tokens, hidden), the LLM's last states in front of each answer token.
        labels: (answer tokens,), the answer tokens themselves.
        head: the LLM's output layer, frozen: states to logits, (..., vocabulary).
    """
    loss: Tensor = _CrossEntropy.apply(states, labels, head)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose gradient is computed with it."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
        loss = torch.zeros((), device=labels.device)
        gradient = torch.empty_like(states)
        for start in range(0, len(states), LOGIT_ROWS):
            rows = slice(start, start + LOGIT_ROWS)
            added, gradient[rows] = _mean_surprise(states[rows], labels[rows], head, len(states))
            loss += added
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * scale.to(gradient.dtype), None, None


def _mean_surprise(
    states: Tensor, labels: Tensor, head: nn.Module, count: int
) -> tuple[Tensor, Tensor]:
    """Return what rows add to the mean of -log softmax(head(states))_label over a count of rows.

    With it comes its gradient in the states. Nothing as large as the logits outlives the call.
    """
    with torch.enable_grad():
        part = states.detach().requires_grad_()
        logits = head(part)
    room = logits.detach()  # for their gradient, as nobody reads them again
    pieces = zip(room.split(FLOAT_ROWS), labels.split(FLOAT_ROWS), strict=True)
    loss = torch.stack([_surprise(*piece, count) for piece in pieces]).sum()
    (gradient,) = torch.autograd.grad(logits, part, room)
    return loss, gradient


def _surprise(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the sum of -log softmax(z)_label / count.

    Args:
        logits: z, (rows, vocabulary), overwritten by (softmax(z) - onehot(label)) / count.
        labels: (rows,).
        count: what the sum is divided by.
    """
    labelled = torch.arange(len(labels), device=labels.device), labels
    shares = logits.to(torch.float32, copy=True)
    shares -= shares.amax(dim=-1, keepdim=True)
    wanted = shares[labelled]
    total = shares.exp_().sum(dim=-1, keepdim=True)
    shares.div_(total)[labelled] -= 1
    logits.copy_(shares.div_(count))
    return (total.log().sum() - wanted.sum()) / count
