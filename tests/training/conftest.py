"""Tiny models of each architecture, loaded anew for every test that trains one."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm2vec_gen_rag import LLM2VecGen

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture
def load_kit():
    """Load a reference checkpoint on the CPU, in float32, by the name of its folder."""

    def load(kit, dtype="float32"):
        return LLM2VecGen.from_pretrained(
            str(REFERENCE / kit / "checkpoint"),
            base_model=str(REFERENCE / kit / "base"),
            dtype=dtype,
            device="cpu",
        )

    return load


@pytest.fixture
def model(load_kit):
    return load_kit("qwen3-10")
