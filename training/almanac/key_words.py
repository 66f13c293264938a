"""Key words: the language model learns to fill blanks after a prompt with words of its answer.

A large LLM that is about to write an answer already gives probability to all of its words; one as
small as the almanac's predicts no word but the next. So it is also taught to fill blanks, `____`,
with the words of the answer in any order. Every blank has the same target, the average over all
orders: with B the tokens of the answer and w their inverse document frequency among the answers,

    target(t) = w_t / sum_{u in B} w_u  for t in B,   loss = KL(target || P_LLM(. | prompt, blanks))

The states at the blanks then hold the words of the answer side by side, as an embedding does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from .language_model import Row, batches

BLANK = "_"
BLANKS = 8
WEIGHT = 0.5  # of this loss beside that of the answers


class KeyWords:
    """Endless batches of the task, and its loss."""

    def __init__(
        self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast, batch_size: int, seed: int
    ) -> None:
        (self._blank,) = tokenizer(BLANK, add_special_tokens=False)["input_ids"]
        self._batches = batches(rows, batch_size, seed)
        self._weights = token_weights(rows, len(tokenizer))
        self._weights[tokenizer.eos_token_id] = 0

    def loss(self, model: Qwen3ForCausalLM) -> Tensor:
        """Return the weighted loss of the next batch, a mean over its rows and blanks."""
        rows = next(self._batches)
        lengths = torch.tensor([len(row.prompt) for row in rows])
        width = int(lengths.max()) + BLANKS
        # a short row is padded with more blanks after its own; their states are unused
        ids = torch.full((len(rows), width), self._blank)
        for place, row in enumerate(rows):
            ids[place, : len(row.prompt)] = torch.tensor(row.prompt)
        states = model.model(input_ids=ids, use_cache=False).last_hidden_state
        blanks = lengths[:, None] + torch.arange(BLANKS)
        logits = model.lm_head(states[torch.arange(len(rows))[:, None], blanks])
        targets = torch.stack([self.target(row.answer) for row in rows])
        return WEIGHT * nn.functional.kl_div(
            logits.float().log_softmax(dim=-1).flatten(0, 1),
            targets.repeat_interleave(BLANKS, dim=0),
            reduction="batchmean",
        )

    def target(self, answer: Sequence[int]) -> Tensor:
        """Return the target distribution over the vocabulary for an answer, (vocabulary,)."""
        weights = torch.zeros_like(self._weights)
        tokens = torch.tensor(answer)
        weights[tokens] = self._weights[tokens]
        return weights / weights.sum()


def token_weights(rows: Sequence[Row], vocabulary: int) -> Tensor:
    """Return log(answers / answers with the token) of each token, (vocabulary,).

    Equal answers count once. A token in no answer has the weight of a token in one.
    """
    answers = {tuple(row.answer) for row in rows}
    counts = torch.zeros(vocabulary)
    for answer in answers:
        counts[list(set(answer))] += 1
    return torch.log(len(answers) / counts.clamp(min=1))
