"""What the frozen LLM writes, greedily: from soft prompts, or in answer to a text.

Written out rather than left to `generate`, whose result depends on the penalties and sampling
settings that a base model's `generation_config.json` can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.facts import embedding_weight, end_token_ids, padding_is_inert
from llm2vec_gen_rag.backbone.int8 import has_int8_layers
from llm2vec_gen_rag.batching import plan_batches, run_batches, token_budget
from llm2vec_gen_rag.cpu.single_row import logits_without_copies, quick_single_rows
from llm2vec_gen_rag.encoder import (
    ResponseModel,
    batches,
    last_hidden_states,
    require_finite_states,
    soft_prompts,
)
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds

# next-token logits (rows, vocabulary) and the rows' places among the prompts -> one id a row
PickTokens = Callable[[Tensor, Sequence[int]], Tensor]

# stands for the text while the chat template is rendered, so that nothing in a text is markup
_PLACEHOLDER = "\ue000text\ue000"


def decode_ids(
    model: ResponseModel, token_ids: Sequence[TokenIds], *, max_new_tokens: int
) -> list[list[int]]:
    """Return what the LLM writes behind the soft prompts of each text, in the order of the texts.

    Args:
        model: the model.
        token_ids: ids of each text.
        max_new_tokens: the most ids to write for each.

    Returns:
        The ids written, the end token included.
    """
    written: list[list[int]] = [[] for _ in token_ids]
    ends = end_token_ids(model.backbone)
    embedding = embedding_weight(model.backbone)

    def forward(rows: list[int]) -> None:
        with model.lock, torch.no_grad():
            states = last_hidden_states(model, [token_ids[row] for row in rows])
            prompts = soft_prompts(model, require_finite_states(states))
            prompts = prompts.to(embedding.device, embedding.dtype)
            batch = greedy_ids(
                model.backbone, prompts, None, max_new_tokens=max_new_tokens, ends=ends
            )
        for row, ids in zip(rows, batch, strict=True):
            written[row] = ids

    run_batches(forward, batches(model, token_ids, new_tokens=max_new_tokens), token_ids)
    return written


def answer_prompts(
    tokenizer: PreTrainedTokenizerBase,
    text_tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    max_length: int,
) -> list[TokenIds]:
    """Return the ids that ask the LLM each text: framed by its chat template, if it has one.

    Args:
        tokenizer: for the template and its special tokens.
        text_tokenizer: for the texts, in which nothing is markup.
        texts: the texts.
        max_length: how many ids of each text to keep.
    """
    plain = tokenizer.chat_template is None
    bodies = text_tokenizer.token_ids(texts, max_tokens=max_length, bos=plain)
    if plain:
        return bodies
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": _PLACEHOLDER}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    before, _, after = str(rendered).partition(_PLACEHOLDER)
    opening, closing = (
        np.array(tokenizer(part, add_special_tokens=False)["input_ids"], dtype=np.int64)
        for part in (before, after)
    )
    return [np.concatenate([opening, body, closing]) for body in bodies]


def answer_ids(
    model: ResponseModel, prompts: Sequence[TokenIds], *, max_new_tokens: int
) -> list[list[int]]:
    """Return what the LLM writes behind each prompt; behind an empty one, nothing.

    Args:
        model: the model; its response tokens and low-rank updates play no part.
        prompts: ids of each prompt.
        max_new_tokens: the most ids to write for each.

    Returns:
        The ids written, the end token included.
    """
    written: list[list[int]] = [[] for _ in prompts]
    ends = end_token_ids(model.backbone)
    asked = [row for row, ids in enumerate(prompts) if len(ids)]
    plan = plan_batches(
        [len(prompts[row]) + max_new_tokens for row in asked],
        token_budget=token_budget(model.response_tokens.device, writes=True),
        pad=padding_is_inert(model.backbone),
    )

    def forward(rows: list[int]) -> None:
        with model.lock, torch.no_grad():
            inputs, mask = left_padded_embeddings(model.backbone, [prompts[row] for row in rows])
            continued = greedy_ids(
                model.backbone, inputs, mask, max_new_tokens=max_new_tokens, ends=ends
            )
        for row, ids in zip(rows, continued, strict=True):
            written[row] = ids

    run_batches(forward, [[asked[place] for place in batch] for batch in plan], prompts)
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
    """Return a continuation of each prompt; as `greedy_ids`, but for how a token is chosen.

    A row that has written an end token leaves the batch.

    Args:
        backbone: the causal LM.
        prompts: (batch, tokens, hidden) input embeddings.
        mask: (batch, tokens), 0 where a prompt is padded, on the left; None if none is.
        max_new_tokens: the most ids to write.
        ends: the ids that end a continuation.
        pick: chooses the next token of each row that goes on.
    """
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    mask = torch.ones(prompts.shape[:2], dtype=torch.long) if mask is None else mask
    mask = mask.to(prompts.device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    inputs, cache = prompts, None
    int8 = has_int8_layers(backbone)
    with logits_without_copies(backbone):
        for _ in range(max_new_tokens):
            with quick_single_rows(inputs, int8=int8):
                output = backbone(
                    inputs_embeds=inputs,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,  # a whole prompt's logits would be larger than its states
                )
            cache, logits = output.past_key_values, output.logits[:, -1]
            require_finite_states(logits.amax(dim=-1))
            tokens = pick(logits, rows)
            for row, token in zip(rows, tokens.tolist(), strict=True):
                written[row].append(token)
            going_on = [place for place, row in enumerate(rows) if written[row][-1] not in ends]
            if not going_on:
                break
            if len(going_on) < len(rows):
                cache.batch_select_indices(torch.tensor(going_on, device=tokens.device))
                rows = [rows[place] for place in going_on]
            inputs = backbone.get_input_embeddings()(tokens[going_on, None])
            mask = torch.cat([mask[going_on], mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[going_on, -1:] + 1
    return written


def left_padded_embeddings(
    backbone: PreTrainedModel, token_ids: Sequence[TokenIds]
) -> tuple[Tensor, Tensor]:
    """Return input embeddings (batch, longest, hidden) and mask, each row ending last.

    Args:
        backbone: the causal LM.
        token_ids: ids of each prompt, at least one.
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
