"""LLM2Vec-Gen in LlamaIndex."""

from llm2vec_gen_rag.llama_index.embedding import LLM2VecGenEmbedding
from llm2vec_gen_rag.llama_index.gate import GatedRetriever, GatePostprocessor

__all__ = ["GatePostprocessor", "GatedRetriever", "LLM2VecGenEmbedding"]
