"""What the frozen LLM writes, greedily: from soft prompts, or in answer to a text.

Written out rather than left to `generate`, whose result depends on the penalties and sampling
settings that a base model's `generation_config.json` can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag import cpu
from llm2vec_gen_rag.backbone.facts import embedding_weight, end_token_ids, has_full_attention
from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.backbone.own_decoding import OwnDecoding
from llm2vec_gen_rag.batching import plan_batches, run_batches, token_budget
from llm2vec_gen_rag.encoder import (
    EmbeddingModel,
    batches,
    last_hidden_states,
    require_finite_states,
    soft_prompts,
)
from llm2vec_gen_rag.text_tokenizer import TokenIds

# next-token logits (rows, vocabulary) and the index of each row's prompt -> one id a row
PickTokens = Callable[[Tensor, Sequence[int]], Tensor]


def decode_ids(
    model: EmbeddingModel, token_ids: Sequence[TokenIds], *, max_new_tokens: int
) -> list[list[int]]:
    """Return what the LLM writes after the soft prompts of each text, in the order of the texts.

    Args:
        model: the model.
        token_ids: ids of each text.
        max_new_tokens: the most ids to write for each.

    Returns:
        The ids written, the end token included.
    """
    embedding = embedding_weight(model.backbone)

    def inputs_of(texts: Sequence[TokenIds]) -> tuple[Tensor, None]:
        states = last_hidden_states(model, texts)
        prompts = soft_prompts(model, require_finite_states(states))
        return prompts.to(embedding.device, embedding.dtype), None

    plan = batches(model, token_ids, new_tokens=max_new_tokens)
    return _write_in_batches(model, token_ids, plan, inputs_of, max_new_tokens)


def answer_ids(
    model: EmbeddingModel, prompts: Sequence[TokenIds], *, max_new_tokens: int
) -> list[list[int]]:
    """Return what the LLM writes after each prompt; after an empty one, nothing.

    Args:
        model: the model; its response tokens and low-rank updates play no part.
        prompts: ids of each prompt.
        max_new_tokens: the most ids to write for each.

    Returns:
        The ids written, the end token included.
    """
    asked = [row for row, ids in enumerate(prompts) if len(ids)]
    plan = plan_batches(
        [len(prompts[row]) + max_new_tokens for row in asked],
        token_budget=token_budget(model.response_tokens.device, writes=True),
        pad=has_full_attention(model.backbone),
    )
    by_prompt = [[asked[index] for index in batch] for batch in plan]
    inputs_of = partial(left_padded_embeddings, model.backbone)
    return _write_in_batches(model, prompts, by_prompt, inputs_of, max_new_tokens)


def _write_in_batches(
    model: EmbeddingModel,
    token_ids: Sequence[TokenIds],
    plan: Sequence[list[int]],
    inputs_of: Callable[[Sequence[TokenIds]], tuple[Tensor, Tensor | None]],
    max_new_tokens: int,
) -> list[list[int]]:
    """Return what the LLM writes for each row; for one in no batch, nothing.

    Args:
        model: the model, locked during each batch.
        token_ids: ids of each row.
        plan: the rows of each batch.
        inputs_of: the input embeddings and mask of some rows, for `greedy_ids`.
        max_new_tokens: the most ids to write for each.
    """
    written: list[list[int]] = [[] for _ in token_ids]
    ends = end_token_ids(model.backbone)

    def forward(rows: list[int]) -> None:
        # a step has one token of each row, and steps take most of the time
        read = sum(len(token_ids[row]) for row in rows)
        with one_forward(model, tokens=len(rows), forwards=max_new_tokens, read=read, writes=True):
            inputs, mask = inputs_of([token_ids[row] for row in rows])
            continued = greedy_ids(
                model.backbone, inputs, mask, max_new_tokens=max_new_tokens, ends=ends
            )
        for row, ids in zip(rows, continued, strict=True):
            written[row] = ids

    run_batches(forward, plan, token_ids)
    return written


def greedy_ids(
    backbone: PreTrainedModel,
    prompts: Tensor,
    mask: Tensor | None,
    *,
    max_new_tokens: int,
    ends: Set[int],
) -> list[list[int]]:
    """Return the most likely continuation of each prompt, token by token.

    Args:
        backbone: the causal LM.
        prompts: (batch, tokens, hidden) input embeddings.
        mask: (batch, tokens), 0 where a prompt is padded, on the left; None if none is.
        max_new_tokens: the most ids to write.
        ends: the ids that end a continuation.

    Returns:
        The ids of each continuation, the end token included.

    Raises:
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    return continued_ids(
        backbone, prompts, mask, max_new_tokens=max_new_tokens, ends=ends, pick=_most_likely
    )


def _most_likely(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """Return the most likely token of each row."""
    return logits.argmax(dim=-1)


@torch.no_grad()
def continued_ids(
    backbone: PreTrainedModel,
    prompts: Tensor,
    mask: Tensor | None,
    *,
    max_new_tokens: int,
    ends: Set[int],
    pick: PickTokens,
) -> list[list[int]]:
    """Return a continuation of each prompt, as `greedy_ids` does, with `pick` choosing each token.

    A row that has written an end token leaves the batch.

    Args:
        backbone: the causal LM.
        prompts: (batch, tokens, hidden) input embeddings.
        mask: (batch, tokens), 0 where a prompt is padded, on the left; None if none is.
        max_new_tokens: the most ids to write.
        ends: the ids that end a continuation.
        pick: chooses the next token of each unfinished row.

    Returns:
        The ids of each continuation, the end token included.

    Raises:
        NonFiniteError: if the LLM computes NaN or infinity.
    """
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    continuation = Continuation(backbone, prompts, mask)
    for _ in range(max_new_tokens):
        tokens = pick(continuation.logits(), rows)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            written[row].append(token)
        unfinished = [index for index, row in enumerate(rows) if written[row][-1] not in ends]
        if not unfinished:
            break
        rows = [rows[index] for index in unfinished]
        continuation.append(tokens, unfinished)
    return written


class Continuation:
    """What the LLM reads next of each row, and the KV cache of what it has read."""

    def __init__(self, backbone: PreTrainedModel, prompts: Tensor, mask: Tensor | None) -> None:
        """Begin before the first token; see `continued_ids` for the arguments."""
        self._embed = backbone.get_input_embeddings()
        mask = torch.ones(prompts.shape[:2], dtype=torch.long) if mask is None else mask
        given = prompts, mask.to(prompts.device)
        self._decoding = cpu.decoding_for(backbone, *given) or OwnDecoding(backbone, *given)

    def logits(self) -> Tensor:
        """Read the inputs.

        Returns:
            The logits of the next token, (rows, vocabulary).

        Raises:
            NonFiniteError: if the LLM computes NaN or infinity.
        """
        logits = self._decoding.logits()
        require_finite_states(logits.amax(dim=-1))
        return logits

    def append(self, tokens: Tensor, unfinished: list[int]) -> None:
        """Go on with some of the rows, each with its next token.

        Args:
            tokens: one id a row, int64 (rows,).
            unfinished: the indices of the rows to keep, in order.
        """
        self._decoding.append(self._embed(tokens[unfinished]), unfinished)


def left_padded_embeddings(
    backbone: PreTrainedModel, token_ids: Sequence[TokenIds]
) -> tuple[Tensor, Tensor]:
    """Return input embeddings and mask of prompts, padded on the left.

    Args:
        backbone: the causal LM.
        token_ids: ids of each prompt, at least one.

    Returns:
        Input embeddings (batch, longest, hidden) and mask (batch, longest), 0 at padding.
    """
    ids = [torch.from_numpy(row) for row in token_ids]
    device = embedding_weight(backbone).device
    padded = pad_sequence(ids, batch_first=True, padding_side="left").to(device)
    ones = [torch.ones_like(row) for row in ids]
    mask = pad_sequence(ones, batch_first=True, padding_side="left").to(device)
    return backbone.get_input_embeddings()(padded), mask


def read_ids(
    tokenizer: PreTrainedTokenizerBase, written: Sequence[Sequence[int]], ends: Set[int]
) -> list[str]:
    """Return the text of each continuation, without the token that ended it."""
    bodies = [ids[:-1] if ids and ids[-1] in ends else ids for ids in written]
    return [
        str(
            tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        for ids in bodies
    ]
