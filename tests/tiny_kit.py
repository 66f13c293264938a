"""The settings that load a reference checkpoint from its folder, for every adapter alike."""

from __future__ import annotations

from pathlib import Path

from llm2vec_gen_rag import LLM2VecGen

REFERENCE = Path(__file__).parent / "reference"


def tiny_kit(name="qwen3-10"):
    return {
        "model_name": str(REFERENCE / name / "checkpoint"),
        "base_model": str(REFERENCE / name / "base"),
        "dtype": "float32",
        "device": "cpu",
    }


def load_tiny(name="qwen3-10"):
    settings = tiny_kit(name)
    return LLM2VecGen.from_pretrained(settings.pop("model_name"), **settings)
