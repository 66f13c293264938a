"""One model in several processes, on several devices."""

from llm2vec_gen_rag.parallel.pool import EncoderPool

__all__ = ["EncoderPool"]
