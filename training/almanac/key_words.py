"""Key words: in blanks behind a prompt, any word of its answer may stand.

A large LLM that is about to write an answer already leans towards all of its words; one as small as
the almanac's thinks of no word but the next. So it is also taught to fill blanks, `____`, with the
words of the answer in any order. What all orders come to on average is learnt at every blank: with
B the tokens of the answer and w their inverse document frequency among the answers,

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
        """The weighted loss of the next batch, a mean over its rows and blanks."""
        rows = next(self._batches)
        lengths = torch.tensor([len(row.prompt) for row in rows])
        width = int(lengths.max()) + BLANKS
        # what stands behind the blanks of a short row are more blanks, which nothing reads
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
        """The distribution over the vocabulary that an answer stands for, (vocabulary,)."""
        weights = torch.zeros_like(self._weights)
        tokens = torch.tensor(answer)
        weights[tokens] = self._weights[tokens]
        return weights / weights.sum()


def token_weights(rows: Sequence[Row], vocabulary: int) -> Tensor:
    """log(answers / answers with the token) of each token, (vocabulary,); equal answers count once.

    A token of no answer weighs as if it stood in one.
    """
    answers = {tuple(row.answer) for row in rows}
    counts = torch.zeros(vocabulary)
    for answer in answers:
        counts[list(set(answer))] += 1
    return torch.log(len(answers) / counts.clamp(min=1))
