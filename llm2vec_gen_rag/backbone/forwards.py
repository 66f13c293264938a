"""What surrounds every forward: one at a time, without gradient, by torch's own defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from transformers import PreTrainedModel

from llm2vec_gen_rag.backbone.forks import ForkSafeLock
from llm2vec_gen_rag.backbone.laying_out import lay_out_once_repaid
from llm2vec_gen_rag.backbone.threads import fitting_threads
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults


class Locked(Protocol):
    """A model whose forwards take turns; see `LLM2VecGen`."""

    backbone: PreTrainedModel
    response_tokens: torch.nn.Parameter
    lock: ForkSafeLock


@contextmanager
def one_forward(
    model: Locked, *, tokens: int, forwards: int = 1, read: int = 0, writes: bool = False
) -> Iterator[None]:
    """Hold a model inside the block, which computes without gradient and by torch's defaults.

    Args:
        model: the model.
        tokens: in a forward, which decide how many threads it uses.
        forwards: of the LLM's layers that are to come, at most: one for each token that it writes.
            0 where none is, or an earlier block has counted it.
        read: tokens of prompts, which one more forward reads before them.
        writes: whether the LLM writes, so that its output matrix is multiplied.

    Yields:
        Nothing.
    """
    device: torch.device = model.response_tokens.device
    with (
        model.lock,
        torch_defaults(device.type),
        torch.no_grad(),
        fitting_threads(model.backbone, tokens),
    ):
        lay_out_once_repaid(model.backbone, forwards, rows=tokens, read=read, writes=writes)
        yield
