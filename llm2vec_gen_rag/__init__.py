"""Generative embeddings for RAG: embed the answer an LLM would give, in one forward pass."""

from importlib import import_module
from typing import TYPE_CHECKING

from llm2vec_gen_rag.backbone import native_threads as _hooks  # isort: skip # noqa: F401
from llm2vec_gen_rag.errors import (  # isort: skip
    BaseModelError, CheckpointError, CollectionError, LLM2VecGenError, MissingExtraError,
    NonFiniteError,
)  # fmt: skip

if TYPE_CHECKING:
    from llm2vec_gen_rag.model import LLM2VecGen
__all__ = ["BaseModelError", "CheckpointError", "CollectionError", "LLM2VecGen", "LLM2VecGenError",
           "MissingExtraError", "NonFiniteError"]  # fmt: skip
__dir__ = __all__.copy  # dir() lists the public names


def __getattr__(name: str) -> object:
    """Import the model, and torch with it, when it is first asked for."""
    if name == "__version__":
        return import_module("importlib.metadata").version("llm2vec-gen-rag")
    if name == "LLM2VecGen":
        return import_module("llm2vec_gen_rag.model").LLM2VecGen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
