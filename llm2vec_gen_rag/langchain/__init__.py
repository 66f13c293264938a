"""LLM2Vec-Gen in LangChain."""

from llm2vec_gen_rag.langchain.embeddings import LLM2VecGenEmbeddings

__all__ = ["LLM2VecGenEmbeddings"]
