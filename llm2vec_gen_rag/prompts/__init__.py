"""The instructions that precede a text, by side (query or document) and by task."""

from llm2vec_gen_rag.prompts.of_checkpoint import PROMPTS_FILE, Prompts
from llm2vec_gen_rag.prompts.published import DOCUMENT_INSTRUCTION, QUERY_INSTRUCTIONS

__all__ = ["DOCUMENT_INSTRUCTION", "PROMPTS_FILE", "QUERY_INSTRUCTIONS", "Prompts"]
