"""Explain an embedding: what it says, response token by response token, and why two are near."""

from llm2vec_gen_rag.explain.explanation import Explanation, explain
from llm2vec_gen_rag.explain.findings import LikelyToken, Reading, ScoreSplit
from llm2vec_gen_rag.explain.lens import logit_lens

__all__ = ["Explanation", "LikelyToken", "Reading", "ScoreSplit", "explain", "logit_lens"]
