"""Texts to the mean of an LLM's last hidden states, its attention causal or in both directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from llm2vec_gen_rag.batching import plan_batches, token_budget
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds

Vectors = npt.NDArray[np.float32]

MAX_LENGTH = 512


def mean_states(
    llm: PreTrainedModel,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    bidirectional: bool = False,
) -> Vectors:
    """Return the mean of the last hidden states over the tokens of each text.

    Texts are cut at 512 tokens. A BOS, where the tokenizer adds one, is read but is no token of the
    text: its state is not averaged, as in llm2vec. A text without a single token has no states to
    average: its vector is zero.

    Args:
        llm: the LLM, with its output layer, which is not run, or without.
        tokenizer: its tokenizer.
        texts: the texts, in any order; neighbours in length share a forward.
        bidirectional: whether every token attends to all tokens of its text, not only to earlier
            ones.

    Returns:
        float32 vectors, (texts, hidden).
    """
    vectors = np.zeros((len(texts), llm.config.hidden_size), dtype=np.float32)
    bos = len(tokenizer.token_ids([""])[0])
    ids = tokenizer.token_ids(texts, max_tokens=MAX_LENGTH)
    read = [row for row in range(len(ids)) if len(ids[row]) > bos]
    budget = token_budget(llm.device, writes=False)
    for batch in plan_batches([len(ids[row]) for row in read], token_budget=budget):
        rows = [read[place] for place in batch]
        batch_ids = [ids[row] for row in rows]
        vectors[rows] = _means(llm, batch_ids, bos=bos, bidirectional=bidirectional)
    return vectors


@torch.inference_mode()
def _means(
    llm: PreTrainedModel, ids: Sequence[TokenIds], *, bos: int, bidirectional: bool
) -> Vectors:
    """Return the mean state of each row behind its first `bos` tokens, (batch, hidden)."""
    padded = pad_sequence([torch.from_numpy(row) for row in ids], batch_first=True).to(llm.device)
    lengths = torch.tensor([len(row) for row in ids], device=llm.device)[:, None]
    places = torch.arange(padded.shape[1], device=llm.device)
    real = places < lengths
    # padding stands on the right, where a causal LLM cannot see it without any mask
    mask = _all_see_all(real, llm.dtype) if bidirectional else None
    output = llm.base_model(input_ids=padded, attention_mask=mask, use_cache=False)
    states: Tensor = output.last_hidden_state.float()
    averaged = (real & (places >= bos)).to(states.device)[..., None]
    means = (states * averaged).sum(dim=1) / averaged.sum(dim=1)
    return np.asarray(means.cpu().numpy(), dtype=np.float32)


def _all_see_all(real: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to attention scores: nothing at real tokens, -infinity at padding.

    With four dimensions, (batch, 1, tokens, tokens), transformers takes it as it stands and puts no
    causal mask of its own on top.
    """
    scores = torch.zeros(real.shape, dtype=dtype, device=real.device)
    scores = scores.masked_fill(~real, torch.finfo(dtype).min)
    return scores[:, None, None, :].expand(-1, 1, real.shape[1], -1)
