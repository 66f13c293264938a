"""OpenVINO as a worker: the torch module of `response_states`, converted.

It computes in bfloat16 where the CPU multiplies it natively, else in float32.
"""

from __future__ import annotations

import os

import numpy as np
import openvino
import torch
from torch import Tensor

from benchmarks.peers.batches import TokenRequests
from benchmarks.peers.response_states import ResponseStates, padded
from benchmarks.workers import serve


class Masked(ResponseStates):
    """Makes its causal mask itself: what transformers makes it with is not converted."""

    def forward(self, ids: Tensor, lengths: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `ResponseStates`."""
        places = torch.arange(ids.shape[1])
        return super().forward(ids, lengths, (places <= places[:, None])[None, None])


class OpenVINOWorker(TokenRequests):
    """One compiled model that reads the response tokens of a checkpoint."""

    def load(self, base: str, parts: str, dtype: str) -> str:
        """Convert and compile the LLM of a folder; return the dtype that it computes in."""
        module = Masked(base, parts, "float32")
        example = {"ids": torch.zeros(2, 32, dtype=torch.long), "lengths": torch.tensor([32, 20])}
        with torch.no_grad():
            converted = openvino.convert_model(module, example_input=example)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]),
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[dtype],
        }
        self.model = openvino.Core().compile_model(converted, "CPU", settings)
        return str(self.model.get_property("INFERENCE_PRECISION_HINT"))

    def embed(self, rows: list[list[int]]) -> np.ndarray:
        """See `TokenRequests`."""
        return np.asarray(self.model(padded(rows))[0])


if __name__ == "__main__":
    serve(OpenVINOWorker())
