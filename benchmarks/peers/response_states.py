"""transformers' own forward from token ids to our vectors, as one torch module.

Rows are padded on the right and the LLM is causal, so SDPA needs no mask: its fastest case.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM


class ResponseStates(nn.Module):
    """Reads texts followed by response tokens; returns an embedding a text, not normalised."""

    def __init__(self, base: str, parts: str, dtype: str) -> None:
        """Load the LLM of a folder in a dtype, and what `model_parts` wrote."""
        super().__init__()
        with np.load(parts) as stored:
            arrays = {name: torch.from_numpy(array) for name, array in stored.items()}
        self.lm = AutoModelForCausalLM.from_pretrained(
            base, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        ).eval()
        own = self.lm.get_input_embeddings().weight
        self.count = len(arrays["response_tokens"])
        table = torch.cat([own.detach(), arrays["response_tokens"].to(own.dtype)])
        self.table = nn.Embedding.from_pretrained(table)
        self.project = nn.Linear(*arrays["weight"].T.shape)
        self.project.load_state_dict({name: arrays[name] for name in ("weight", "bias")})
        self.requires_grad_(False)

    def forward(self, ids: Tensor, lengths: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (batch, dimension) float32 of ids (batch, tokens) and lengths (batch,).

        `mask`: (1, 1, tokens, tokens), what attends to what; None is causal.
        """
        states = self.lm.base_model(
            inputs_embeds=self.table(ids), attention_mask=mask, use_cache=False
        ).last_hidden_state
        rows = lengths[:, None] + torch.arange(-self.count, 0)
        read = states.gather(1, rows[:, :, None].expand(-1, -1, states.shape[2]))
        embeddings: Tensor = self.project(read.float().mean(dim=1))
        return embeddings


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids padded on the right, int64 (batch, longest), and their lengths, (batch,)."""
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = rows[row]
    return ids, lengths
