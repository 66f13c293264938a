"""Four tiny checkpoints of random weights, and what the reference package computes from each."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from llm2vec_gen_rag import LLM2VecGen

REFERENCE = Path(__file__).parent / "reference"
KITS = ["qwen3-10", "qwen3-10-lora", "qwen2-6-4", "llama-20-10"]


class ReferenceKit:
    """One checkpoint, its base model, and its expected values."""

    def __init__(self, name="qwen3-10"):
        self.folder = REFERENCE / name
        self.checkpoint = self.folder / "checkpoint"
        self.base = self.folder / "base"

    @property
    def settings(self) -> dict[str, str]:
        """What loads the checkpoint in a framework's adapter."""
        return {
            "model_name": str(self.checkpoint),
            "base_model": str(self.base),
            "dtype": "float32",
            "device": "cpu",
        }

    def load(self, checkpoint=None, **options) -> LLM2VecGen:
        """Load the checkpoint, or another folder on the same base, in float32 on the CPU."""
        options = {"base_model": self.base, "dtype": "float32", "device": "cpu", **options}
        return LLM2VecGen.from_pretrained(checkpoint or self.checkpoint, **options)

    @cached_property
    def expected(self):
        return json.loads((self.folder / "expected.json").read_text(encoding="utf-8"))

    @cached_property
    def tensors(self):
        return load_file(self.folder / "expected.safetensors")

    @property
    def texts(self):
        return self.expected["texts"]

    def rows(self, kind, max_length):
        """Return `embedding` or `recon` of every text at a length, stacked."""
        names = [f"{kind}.{max_length}.{row}" for row in range(len(self.texts))]
        return np.stack([self.tensors[name] for name in names])
