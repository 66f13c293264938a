"""transformers as a worker: its own forward to our vectors, and its `generate`."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.batches import TokenRequests
from benchmarks.peers.response_states import ResponseStates, padded
from benchmarks.workers import serve, timed


class TransformersWorker(TokenRequests):
    """One loaded LLM, which reads the response tokens of a checkpoint, and writes."""

    def load(self, base: str, parts: str, dtype: str) -> None:
        """Load the LLM of a folder and what `model_parts` wrote of a checkpoint."""
        self.model = ResponseStates(base, parts, dtype)

    @timed
    def write(self, prompt: list[int], tokens: int) -> None:
        """Continue a prompt greedily."""
        ids = torch.tensor([prompt])
        self.model.lm.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
        )

    @torch.inference_mode()
    def embed(self, rows: list[list[int]]) -> np.ndarray:
        """See `TokenRequests`."""
        ids, lengths = map(torch.from_numpy, padded(rows))
        return np.asarray(self.model(ids, lengths))


if __name__ == "__main__":
    serve(TransformersWorker())
