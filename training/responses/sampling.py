"""Sample tokens as a model's own generation config says, with random numbers per query.

A response must depend neither on the other queries in its batch nor on where a run was stopped: so
each query has its own random numbers, seeded by the run's seed and the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm2vec_gen_rag.text_tokenizer import TokenIds

# the defaults of `generate`; transformers 4 keeps them in the config itself, transformers 5 adds
# them when it generates
_DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
# settings that are not implemented here but would change a response, with the values that mean off
_REFUSED: dict[str, tuple[Any, ...]] = {
    "num_beams": (None, 1),
    "typical_p": (None, 1.0),
    "epsilon_cutoff": (None, 0.0),
    "eta_cutoff": (None, 0.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "guidance_scale": (None, 1.0),
    "penalty_alpha": (None, 0.0),
    "bad_words_ids": (None,),
    "suppress_tokens": (None,),
    "begin_suppress_tokens": (None,),
    "sequence_bias": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
}


def sampling_settings(config: GenerationConfig) -> dict[str, Any]:
    """Return what a generation config says about choosing tokens, with `generate`'s defaults.

    Args:
        config: the model's.

    Returns:
        A value for each name in `_DEFAULTS`.

    Raises:
        ValueError: if it asks for something that is not implemented here, such as beam search.
    """
    for name, off in _REFUSED.items():
        value = getattr(config, name, None)
        if value not in off:
            raise ValueError(
                f"the model's generation config has {name} = {value!r}, which is not supported; "
                "expected sampling by temperature, top_k, top_p, min_p and repetition_penalty. "
                "Choose greedy decoding, or change model.generation_config."
            )
    stated = {name: getattr(config, name, None) for name in _DEFAULTS}
    return {name: _DEFAULTS[name] if stated[name] is None else stated[name] for name in stated}


class SampledTokens:
    """Chooses the next tokens of a batch as a generation config says; a `PickTokens`.

    If it says to sample, a token is drawn by the exponential race: with q_v ~ Exp(1) from the row's
    own generator, argmax_v p_v / q_v is v with probability p_v.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        prompts: Sequence[TokenIds],
        seeds: Sequence[int],
        *,
        max_new_tokens: int,
        device: torch.device,
    ) -> None:
        """Start a batch.

        Args:
            settings: as `sampling_settings` returns them.
            prompts: ids of each prompt, to which a repetition penalty applies, too.
            seeds: one per prompt.
            max_new_tokens: the most tokens that will be chosen per row.
            device: of the logits.
        """
        self._sample: bool = settings["do_sample"]
        self._processors = _processors(settings)
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        # padding with a row's own first token adds nothing to the set of tokens it has seen
        self._step = max(len(prompt) for prompt in prompts)
        self._seen = torch.stack(
            [torch.full((self._step + max_new_tokens,), int(prompt[0])) for prompt in prompts]
        )
        for row, prompt in zip(self._seen, prompts, strict=True):
            row[: len(prompt)] = torch.from_numpy(prompt)
        self._seen = self._seen.to(device)

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        """Return the next token of each row.

        Args:
            logits: of the next token, (rows, vocabulary).
            rows: the indices of these rows among the prompts.

        Returns:
            Ids, int64 (rows,).
        """
        indices = torch.tensor(rows, device=logits.device)
        seen: Any = self._seen[indices]
        scores: Tensor = self._processors(seen, logits.float())
        if self._sample:
            race = torch.stack([self._exponential(scores.shape[-1], row) for row in rows])
            tokens = (scores.softmax(dim=-1) / race).argmax(dim=-1)
        else:
            tokens = scores.argmax(dim=-1)
        self._seen[indices, self._step] = tokens
        self._step += 1
        return tokens

    def _exponential(self, vocabulary: int, row: int) -> Tensor:
        """Draw numbers of the standard exponential distribution from a row's generator."""
        numbers = torch.empty(vocabulary, dtype=torch.float32, device=self._seen.device)
        return numbers.exponential_(generator=self._generators[row])


def _processors(settings: dict[str, Any]) -> LogitsProcessorList:
    """Return the logits processors that `generate` would apply, in its order."""
    processors = LogitsProcessorList()
    if settings["repetition_penalty"] != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(float(settings["repetition_penalty"])))
    if not settings["do_sample"]:
        return processors
    if settings["temperature"] != 1:
        processors.append(TemperatureLogitsWarper(float(settings["temperature"])))
    if settings["top_k"] != 0:
        processors.append(TopKLogitsWarper(settings["top_k"]))
    if settings["top_p"] < 1:
        processors.append(TopPLogitsWarper(float(settings["top_p"])))
    if settings["min_p"] > 0:
        processors.append(MinPLogitsWarper(settings["min_p"]))
    return processors
