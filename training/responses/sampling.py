"""How a model's own generation config says to choose the next token, drawn anew for each query.

What a query's response is must not depend on which others happen to be answered beside it, nor on
where a run was stopped: each has random numbers of its own, from the run's seed and its text.
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

# what `generate` fills in where a generation config says nothing; transformers 4 keeps these in the
# config itself, transformers 5 adds them when it generates
_DEFAULTS: dict[str, Any] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
# settings that would change what is written, and are not computed here, with what turns each off
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

    Raises:
        ValueError: if it asks for what is not computed here, such as beam search.
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

    Where it says to sample, a token is drawn by the exponential race: with q_v ~ Exp(1) from the
    row's own generator, argmax_v p_v / q_v is v with probability p_v.
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
            settings: as `sampling_settings` gives them.
            prompts: ids of each prompt, to which a repetition penalty applies, too.
            seeds: one for each prompt.
            max_new_tokens: how often tokens will be chosen, at most.
            device: where the logits are.
        """
        self._sample: bool = settings["do_sample"]
        self._processors = _processors(settings)
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        # a row is filled up with its own first token, which changes nothing about what it has seen
        self._step = max(len(prompt) for prompt in prompts)
        self._seen = torch.stack(
            [torch.full((self._step + max_new_tokens,), int(prompt[0])) for prompt in prompts]
        )
        for row, prompt in zip(self._seen, prompts, strict=True):
            row[: len(prompt)] = torch.from_numpy(prompt)
        self._seen = self._seen.to(device)

    def __call__(self, logits: Tensor, rows: Sequence[int]) -> Tensor:
        """Return the next token of each row, (rows,).

        Args:
            logits: of the next token, (rows, vocabulary).
            rows: the places of these rows among the prompts.
        """
        places = torch.tensor(rows, device=logits.device)
        seen: Any = self._seen[places]
        scores: Tensor = self._processors(seen, logits.float())
        if self._sample:
            race = torch.stack([self._exponential(scores.shape[-1], row) for row in rows])
            tokens = (scores.softmax(dim=-1) / race).argmax(dim=-1)
        else:
            tokens = scores.argmax(dim=-1)
        self._seen[places, self._step] = tokens
        self._step += 1
        return tokens

    def _exponential(self, vocabulary: int, row: int) -> Tensor:
        """Return a row's next numbers of the standard exponential distribution."""
        numbers = torch.empty(vocabulary, device=self._seen.device)
        return numbers.exponential_(generator=self._generators[row])


def _processors(settings: dict[str, Any]) -> LogitsProcessorList:
    """Return what `generate` would do to the logits, in its order."""
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
