"""LLM2Vec-Gen in LlamaIndex."""

from llm2vec_gen_rag.llama_index.embedding import LLM2VecGenEmbedding

__all__ = ["LLM2VecGenEmbedding"]
