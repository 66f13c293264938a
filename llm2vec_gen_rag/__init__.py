"""Generative embeddings for RAG: embed the answer an LLM would give, in one forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm2vec_gen_rag.errors import (
    BaseModelError,
    CheckpointError,
    CollectionError,
    LLM2VecGenError,
    MissingExtraError,
    NonFiniteError,
)

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen

__all__ = ["BaseModelError", "CheckpointError", "CollectionError", "LLM2VecGen"]
__all__ += ["LLM2VecGenError", "MissingExtraError", "NonFiniteError"]


def __getattr__(name: str) -> object:
    """Import the model, and with it torch, when it is first asked for."""
    if name == "LLM2VecGen":
        from llm2vec_gen_rag.model import LLM2VecGen

        return LLM2VecGen
    if name == "__version__":
        from importlib.metadata import version

        return version("llm2vec-gen-rag")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
