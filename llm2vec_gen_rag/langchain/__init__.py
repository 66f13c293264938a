"""LLM2Vec-Gen in LangChain."""

from llm2vec_gen_rag.langchain.chat import ChatLLM2VecGen
from llm2vec_gen_rag.langchain.embeddings import LLM2VecGenEmbeddings
from llm2vec_gen_rag.langchain.gate import GatedRetriever, GatedRunnable

__all__ = ["ChatLLM2VecGen", "GatedRetriever", "GatedRunnable", "LLM2VecGenEmbeddings"]
