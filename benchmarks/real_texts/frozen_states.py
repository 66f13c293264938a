"""The frozen LLM's mean states, centred or whitened: what the LLM finds without any training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from benchmarks.real_texts.ranking import Vectors
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.batching import plan_batches, token_budget
from llm2vec_gen_rag.teachers.whitened_states import Whitening
from llm2vec_gen_rag.text_tokenizer import TokenIds

MIDDLE = 24  # of SmolLM2's 30 layers
DIRECTIONS = 256


def mean_states(
    model: LLM2VecGen, texts: Sequence[str], *, middle: int, max_length: int
) -> dict[str, Vectors]:
    """Return the mean states of a middle layer and of the last, each (texts, hidden).

    The state of a text's first token is left out: it is a hundred times as long as the others, and
    says nothing of the text. Low-rank updates are off.

    Args:
        model: its LLM is read.
        texts: none of them empty.
        middle: which layer, from 1.
        max_length: tokens that are read of a text.
    """
    ids = model.text_tokenizer.token_ids(texts, max_tokens=max_length)
    shape = (len(texts), model.backbone.config.hidden_size)
    found = {"middle": np.zeros(shape, np.float32), "last": np.zeros(shape, np.float32)}
    budget = token_budget(model.device, writes=False)
    for rows in plan_batches([len(row) for row in ids], token_budget=budget):
        batch = [ids[row] for row in rows]
        with one_forward(model, tokens=sum(map(len, batch))):
            for layer, means in zip(found, _means(model, batch, middle), strict=True):
                found[layer][rows] = means
    return found


def centred(queries: Vectors, documents: Vectors) -> tuple[Vectors, Vectors]:
    """Return both without the mean that they have in common."""
    mean = np.concatenate([queries, documents]).mean(axis=0)
    return queries - mean, documents - mean


def whitened(queries: Vectors, documents: Vectors, others: Vectors) -> tuple[Vectors, Vectors]:
    """Return both along the directions in which texts vary most, each scaled to variance 1.

    Args:
        queries: (queries, hidden).
        documents: (documents, hidden).
        others: (texts, hidden), of other texts, or none: what varies is fitted on all three.

    Returns:
        The queries and the documents, (., directions), of length 1: 256 directions, or as many as
        the texts allow.
    """
    fitted = np.concatenate([queries, documents, others])
    whitening = Whitening.fit(fitted, min(DIRECTIONS, len(fitted) - 1, fitted.shape[1]))
    return whitening(queries), whitening(documents)


def _means(
    model: LLM2VecGen, ids: Sequence[TokenIds], middle: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of the middle layer's states and of the last one's, (batch, hidden)."""
    padded = pad_sequence([torch.from_numpy(row) for row in ids], batch_first=True)
    padded = padded.to(model.device)
    lengths = torch.tensor([len(row) for row in ids], device=model.device)[:, None]
    positions = torch.arange(padded.shape[1], device=model.device)
    # a text of one token has no other state
    read = (positions < lengths) & ((positions > 0) | (lengths == 1))
    # padding is on the right, so causal attention needs no mask against it
    output = model.backbone.base_model(input_ids=padded, use_cache=False, output_hidden_states=True)
    states = (output.hidden_states[middle], output.last_hidden_state)
    first, second = (
        ((each.float() * read[..., None]).sum(dim=1) / read.sum(dim=1)[:, None]).cpu().numpy()
        for each in states
    )
    return first, second
