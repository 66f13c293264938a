"""Responses from a loaded LLM: the frozen LLM answers unlabeled queries in this process.

At scale, `remote` has a server write the same file. A rerun gives the same greedy responses.
Sampled, each query has the same random numbers, whatever else is in its batch and wherever the run
was stopped; only the rounding of the logits depends on the batch, so that now and then another
token is chosen where two are nearly equal. A killed run resumes with the same batches, and ends in
the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import require_positive, writing_room
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.facts import (
    base_name,
    end_token_ids,
    has_full_attention,
    position_limit,
)
from llm2vec_gen_rag.backbone.laying_out import lay_out_once_repaid
from llm2vec_gen_rag.backbone.torch_defaults import torch_defaults
from llm2vec_gen_rag.batching import plan_batches
from llm2vec_gen_rag.decoder import (
    continued_ids,
    greedy_ids,
    left_padded_embeddings,
    read_ids,
)
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds, answer_prompts
from llm2vec_gen_rag.training.queries import check_queries
from llm2vec_gen_rag.training.responses.brought import append_brought
from llm2vec_gen_rag.training.responses.decoding import Decoding, as_decoding, query_seed
from llm2vec_gen_rag.training.responses.file import append_responses, open_responses
from llm2vec_gen_rag.training.responses.response import Response
from llm2vec_gen_rag.training.responses.sampling import SampledTokens, sampling_settings
from llm2vec_gen_rag.training.responses.search_instructions import SearchInstructions, recorded


def write_responses(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    path: str | Path,
    *,
    brought: Sequence[Response] = (),
    instruction: str = "",
    search_instructions: SearchInstructions | None = None,
    max_new_tokens: int = 500,
    max_prompt_length: int = 1024,
    decoding: Decoding = "greedy",
    seed: int = 42,
    batch_size: int = 64,
    show_progress: bool = False,
) -> None:
    """Append the LLM's answer to each query that no file of the run answers yet.

    A model with a chat template is asked through it, with thinking off; any other continues the
    plain text. The longest queries come first, so the LLM's answers are not in their order.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: the queries, without duplicates; of a run cut into shards, `shard.of(queries)`.
        path: the file to create or append to, by custom `NAME.jsonl`; of a shard,
            `shard.path(path)`.
        brought: answers that queries bring; they are appended first, and not asked for.
        instruction: precedes every query.
        search_instructions: what queries begin with themselves; None: nothing.
        max_new_tokens: longest answer; of an LLM with a table of positions, no more than half of
            them.
        max_prompt_length: queries are cut to this many tokens, not counting the template, and at
            what such a table leaves room for.
        decoding: "greedy", or "sampled" as the model's own `generation_config.json` says.
        seed: of the sampling.
        batch_size: queries answered at a time, and at most lost when a run is stopped.
        show_progress: show a progress bar.

    Raises:
        ValueError: if there are no queries, one is blank or a duplicate, a number is not positive,
            there are both an instruction and search instructions, the file is damaged or was
            written by another model, with other settings or from other answers that queries bring,
            or the chat template leaves no room for a query.
        NonFiniteError: if the LLM computes NaN or infinity.
        StorageError: if the file cannot be written, as on a full disk; responses in it are kept.
    """
    check_queries(queries)
    for name, number in (
        ("max_new_tokens", max_new_tokens),
        ("max_prompt_length", max_prompt_length),
        ("batch_size", batch_size),
    ):
        require_positive(name, number)
    origin = {
        "model": base_name(backbone) or type(backbone).__name__,
        "weights": weights_digest(backbone),
        "chat_template": _text_digest(tokenizer.chat_template or ""),
        **recorded(instruction, search_instructions),
        "max_new_tokens": max_new_tokens,
        "max_prompt_length": max_prompt_length,
    }
    sampling = _sampling(backbone, decoding)
    if sampling is not None:
        origin |= {"sampling": sampling, "seed": seed}
    answered = open_responses(Path(path), origin)
    pending = append_brought(Path(path), queries, brought, answered)
    max_new_tokens, room = writing_room(max_new_tokens, position_limit(backbone))
    prompts = answer_prompts(
        tokenizer,
        TextTokenizer(tokenizer),
        [instruction + query for query in pending],
        max_length=max_prompt_length,
        room=room,
    )
    writer = _Writer(backbone, tokenizer, max_new_tokens, sampling, seed)
    with tqdm(
        total=len(queries),
        initial=len(queries) - len(pending),
        disable=not show_progress,
        desc="Responses",
    ) as progress:
        for rows in _plan(backbone, prompts, batch_size):
            batch = writer.write([pending[row] for row in rows], [prompts[row] for row in rows])
            append_responses(Path(path), batch)
            progress.update(len(batch))


@dataclass(frozen=True)
class _Writer:
    """Writes responses with the frozen LLM.

    Attributes:
        backbone: the frozen LLM.
        tokenizer: its tokenizer.
        max_new_tokens: longest answer.
        sampling: as `sampling_settings` returns it; None decodes greedily.
        seed: of the sampling.
    """

    backbone: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_new_tokens: int
    sampling: dict[str, Any] | None
    seed: int

    def write(self, queries: Sequence[str], prompts: Sequence[TokenIds]) -> list[Response]:
        """Return the LLM's completion of each query's prompt."""
        with torch_defaults(self.backbone.device.type):
            lay_out_once_repaid(
                self.backbone,
                self.max_new_tokens,
                rows=len(prompts),
                read=sum(map(len, prompts)),
                writes=True,
            )
            return self._written(queries, prompts)

    def _written(self, queries: Sequence[str], prompts: Sequence[TokenIds]) -> list[Response]:
        ends = end_token_ids(self.backbone) | {self.tokenizer.eos_token_id}
        inputs, mask = left_padded_embeddings(self.backbone, prompts)
        limits: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "ends": ends}
        if self.sampling is None:
            written = greedy_ids(self.backbone, inputs, mask, **limits)
        else:
            pick = SampledTokens(
                self.sampling,
                prompts,
                [query_seed(self.seed, query) for query in queries],
                max_new_tokens=self.max_new_tokens,
                device=inputs.device,
            )
            written = continued_ids(self.backbone, inputs, mask, pick=pick, **limits)
        texts = read_ids(self.tokenizer, written, ends)
        return [
            Response(query, text, finished=ids[-1] in ends)
            for query, text, ids in zip(queries, texts, written, strict=True)
        ]


def _sampling(backbone: PreTrainedModel, decoding: Decoding) -> dict[str, Any] | None:
    """Return what the model's generation config says; None for greedy decoding."""
    if as_decoding(decoding) == "greedy":
        return None
    if backbone.generation_config is None:
        raise ValueError("the model has no generation config to sample by; pass decoding='greedy'")
    settings: dict[str, Any] = sampling_settings(backbone.generation_config)
    return settings


def _plan(
    backbone: PreTrainedModel, prompts: Sequence[TokenIds], batch_size: int
) -> list[list[int]]:
    """Return the rows of each batch: prompts of nearly equal length, the longest batches first."""
    return plan_batches(
        [len(prompt) for prompt in prompts],
        token_budget=0,
        batch_size=batch_size,
        pad=has_full_attention(backbone),
    )


def _text_digest(text: str) -> str:
    """Return a short hash of a string."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
