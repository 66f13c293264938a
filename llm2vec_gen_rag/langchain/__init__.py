"""LLM2Vec-Gen in LangChain."""

from llm2vec_gen_rag.langchain.chat import ChatLLM2VecGen
from llm2vec_gen_rag.langchain.embeddings import LLM2VecGenEmbeddings

__all__ = ["ChatLLM2VecGen", "LLM2VecGenEmbeddings"]
