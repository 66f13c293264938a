"""The refusal gate: whether a query's embedding is nearer to a refusal than to an answer."""

from llm2vec_gen_rag.safety.gate import RefusalGate, Verdict
from llm2vec_gen_rag.safety.linear_score import Calibration

__all__ = ["Calibration", "RefusalGate", "Verdict"]
