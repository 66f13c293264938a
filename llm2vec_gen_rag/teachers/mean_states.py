"""The mean of an LLM's last hidden states per text, with causal or bidirectional attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone.facts import position_limit
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
from llm2vec_gen_rag.batching import plan_batches, token_budget
from llm2vec_gen_rag.teachers.protocol import Vectors
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds

MAX_LENGTH = 512


def mean_states(
    llm: PreTrainedModel,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    bidirectional: bool = False,
    skipped: int = 0,
) -> Vectors:
    """Return the mean of the last hidden states over the tokens of each text.

    Texts are truncated to 512 tokens, and at what an LLM with a table of positions can read. A BOS
    that the tokenizer adds is read, but its state is not averaged, as in llm2vec. An empty text has
    no states to average: its vector is zero.

    Args:
        llm: the LLM, with its output layer, which is not run, or without.
        tokenizer: its tokenizer.
        texts: the texts, in any order; those of nearly equal length share a forward pass.
        bidirectional: whether every token attends to all tokens of its text, not only to earlier
            ones.
        skipped: how many tokens at the start of a text are read and not averaged, where it has
            more than those.

    Returns:
        float32 vectors, (texts, hidden).
    """
    vectors = np.zeros((len(texts), llm.config.hidden_size), dtype=np.float32)
    bos = len(tokenizer.token_ids([""])[0])
    positions = position_limit(llm)
    limit = MAX_LENGTH if positions is None else min(MAX_LENGTH, positions)
    ids = tokenizer.token_ids(texts, max_tokens=limit)
    read = [row for row in range(len(ids)) if len(ids[row]) > bos]
    budget = token_budget(llm.device, writes=False)
    for batch in plan_batches([len(ids[row]) for row in read], token_budget=budget):
        rows = [read[place] for place in batch]
        batch_ids = [ids[row] for row in rows]
        with torch_defaults(llm.device.type):
            vectors[rows] = _means(
                llm, batch_ids, bos=bos, skipped=skipped, bidirectional=bidirectional
            )
    return vectors


@torch.no_grad()
def _means(
    llm: PreTrainedModel, ids: Sequence[TokenIds], *, bos: int, skipped: int, bidirectional: bool
) -> Vectors:
    """Return the mean state of each row after its first tokens, (batch, hidden)."""
    lengths = torch.tensor([len(row) for row in ids])[:, None]
    forward = None if bidirectional else cpu.forward_for(llm)
    if forward is None:
        states = _states_of_own_forward(llm, ids, lengths, bidirectional=bidirectional)
    else:
        states = _states_on_cpu(forward, llm, ids, lengths)
    positions = torch.arange(states.shape[1])
    first = (lengths - 1).clamp(max=bos + skipped).clamp(min=bos)
    averaged = ((positions >= first) & (positions < lengths)).to(states.device)[..., None]
    means = (states.float() * averaged).sum(dim=1) / averaged.sum(dim=1)
    return np.asarray(means.cpu().numpy(), dtype=np.float32)


def _states_on_cpu(
    forward: cpu.Forward, llm: PreTrainedModel, ids: Sequence[TokenIds], lengths: Tensor
) -> Tensor:
    """Return the states (batch, longest, hidden); after a text's end, its last one again."""
    packing = cpu.packing_of_few_sizes([len(row) for row in ids])
    tokens = torch.from_numpy(np.concatenate(ids))
    inputs = llm.get_input_embeddings()(F.pad(tokens, (0, packing.rows - len(tokens))))
    starts = lengths.cumsum(0) - lengths
    steps = torch.arange(int(lengths.max()))
    return forward.states(inputs, packing, starts + steps.minimum(lengths - 1))


def _states_of_own_forward(
    llm: PreTrainedModel, ids: Sequence[TokenIds], lengths: Tensor, *, bidirectional: bool
) -> Tensor:
    """Return the states (batch, longest, hidden); after a text's end, any numbers."""
    padded = pad_sequence([torch.from_numpy(row) for row in ids], batch_first=True).to(llm.device)
    # padding is on the right, so causal attention needs no mask against it
    mask = None
    if bidirectional:
        real = torch.arange(padded.shape[1]) < lengths
        mask = _bidirectional_mask(real.to(llm.device), llm.dtype)
    output = llm.base_model(input_ids=padded, attention_mask=mask, use_cache=False)
    states: Tensor = output.last_hidden_state
    return states


def _bidirectional_mask(real: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an additive attention mask: 0 at real tokens, the lowest number at padding.

    transformers uses a mask of four dimensions, (batch, 1, tokens, tokens), unchanged, without
    adding a causal one.
    """
    mask = torch.zeros(real.shape, dtype=dtype, device=real.device)
    mask = mask.masked_fill(~real, torch.finfo(dtype).min)
    return mask[:, None, None, :].expand(-1, 1, real.shape[1], -1)
