"""LLM2Vec-Gen in LlamaIndex."""

from llm2vec_gen_rag.llama_index.embedding import LLM2VecGenEmbedding
from llm2vec_gen_rag.llama_index.events import TruncationEvent
from llm2vec_gen_rag.llama_index.gate import GatedRetriever, GatePostprocessor
from llm2vec_gen_rag.llama_index.llm import LLM2VecGenLLM

__all__ = [
    "GatePostprocessor",
    "GatedRetriever",
    "LLM2VecGenEmbedding",
    "LLM2VecGenLLM",
    "TruncationEvent",
]
