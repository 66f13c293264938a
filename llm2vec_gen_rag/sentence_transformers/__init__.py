"""A model in a folder that sentence-transformers loads."""

from llm2vec_gen_rag.sentence_transformers.folder import export
from llm2vec_gen_rag.sentence_transformers.module import LLM2VecGenModule

__all__ = ["LLM2VecGenModule", "export"]
