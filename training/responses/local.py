"""The frozen LLM's own answers to unlabeled queries: what response tokens learn from.

Answered here by a loaded LLM; at scale, `endpoint` asks a server for the same file. What a rerun
gives: greedily, the same responses. Sampled, each query has the same random numbers, whatever
stands beside it and wherever the run was stopped; only the rounding of the logits depends on the
batch, so that now and then another token is chosen where two are nearly equal. A run that was
killed goes on with the same batches, and ends in the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.backbone.digest import weights_digest
from llm2vec_gen_rag.backbone.facts import base_name, end_token_ids, has_full_attention
from llm2vec_gen_rag.batching import plan_batches
from llm2vec_gen_rag.decoder import (
    continued_ids,
    greedy_ids,
    left_padded_embeddings,
    read_ids,
)
from llm2vec_gen_rag.text_tokenizer import TextTokenizer, TokenIds, answer_prompts
from llm2vec_gen_rag.training.queries import check_queries
from llm2vec_gen_rag.training.responses.decoding import Decoding, query_seed, require_decoding
from llm2vec_gen_rag.training.responses.file import (
    Response,
    append_responses,
    open_responses,
    read_answers,
    read_responses,
    read_run,
)
from llm2vec_gen_rag.training.responses.sampling import SampledTokens, sampling_settings

__all__ = ["Response", "read_answers", "read_responses", "read_run", "write_responses"]


def write_responses(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[str],
    path: str | Path,
    *,
    instruction: str = "",
    max_new_tokens: int = 500,
    max_prompt_length: int = 1024,
    decoding: Decoding = "greedy",
    seed: int = 42,
    batch_size: int = 64,
    show_progress: bool = False,
) -> None:
    """Append the LLM's answer to each query that the file, or another of its run, does not answer.

    A model with a chat template is asked through it, with thinking off; any other continues the
    plain text. Queries are taken longest first, so the file is not in their order.

    Args:
        backbone: the frozen causal LLM.
        tokenizer: its tokenizer.
        queries: the queries, without duplicates; of a run cut into shards, `shard.of(queries)`.
        path: the file to create or to go on with, by custom `NAME.jsonl`; of a shard,
            `shard.path(path)`.
        instruction: what goes before every query, as it stands.
        max_new_tokens: longest answer.
        max_prompt_length: queries are cut to this many tokens, template aside.
        decoding: "greedy", or "generation-config" for the sampling that the model's own
            `generation_config.json` states.
        seed: of the sampling.
        batch_size: queries answered at a time, and at most lost when a run is stopped.
        show_progress: show a progress bar, with the time that is left.

    Raises:
        ValueError: if there are no queries, one is empty or stands there twice, or the file was
            written by another model or with other settings, or is damaged; if a number is not
            positive.
        NonFiniteError: if the LLM computes NaN or infinity.
        StorageError: if the file cannot be written, as on a full disk; what stands there is
            kept.
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
        "instruction": instruction,
        "max_new_tokens": max_new_tokens,
        "max_prompt_length": max_prompt_length,
    }
    sampling = _sampling(backbone, decoding)
    if sampling is not None:
        origin |= {"sampling": sampling, "seed": seed}
    answered = open_responses(Path(path), origin)
    pending = [query for query in queries if query not in answered]
    prompts = answer_prompts(
        tokenizer,
        TextTokenizer(tokenizer),
        [instruction + query for query in pending],
        max_length=max_prompt_length,
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
    """The frozen LLM, and how it is asked."""

    backbone: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_new_tokens: int
    sampling: dict[str, Any] | None
    seed: int

    def write(self, queries: Sequence[str], prompts: Sequence[TokenIds]) -> list[Response]:
        """Return what the LLM writes behind each query's prompt."""
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
    """Return what the model's generation config says; None decodes greedily, whatever it says."""
    require_decoding(decoding)
    if decoding == "greedy":
        return None
    if backbone.generation_config is None:
        raise ValueError("the model has no generation config to decode by; pass decoding='greedy'")
    settings: dict[str, Any] = sampling_settings(backbone.generation_config)
    return settings


def _plan(
    backbone: PreTrainedModel, prompts: Sequence[TokenIds], batch_size: int
) -> list[list[int]]:
    """Return the rows of each batch, prompts of nearly equal length together, the longest first."""
    return plan_batches(
        [len(prompt) for prompt in prompts],
        token_budget=0,
        batch_size=batch_size,
        pad=has_full_attention(backbone),
    )


def _text_digest(text: str) -> str:
    """Return a short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
