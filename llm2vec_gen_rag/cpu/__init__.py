"""The frozen LLM's layers written out for a CPU, forward and backward.

`forward_for` and `gradient_forward_for` are the one place to ask: each gives a forward, or None
where the LLM's own has to run.
"""

from llm2vec_gen_rag.cpu.backward import GradientForward, gradient_forward_for
from llm2vec_gen_rag.cpu.decoding import decoding
from llm2vec_gen_rag.cpu.forward import Forward, Prefix, forward_for

__all__ = [
    "Forward",
    "GradientForward",
    "Prefix",
    "decoding",
    "forward_for",
    "gradient_forward_for",
]
