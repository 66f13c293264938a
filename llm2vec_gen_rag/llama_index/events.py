"""What LLM2Vec-Gen tells LlamaIndex's instrumentation, beside the events of every embedding."""

from __future__ import annotations

from llama_index.core.instrumentation.events import BaseEvent


class TruncationEvent(BaseEvent):
    """Texts were longer than the model reads, and their ends are not in their vectors.

    Attributes:
        chunks: the texts, whole.
        tokens: how many each has, those of the instruction counted.
        room: how many of them the model reads.
    """

    chunks: list[str]
    tokens: list[int]
    room: int

    @classmethod
    def class_name(cls) -> str:
        """Return the class name that LlamaIndex writes to traces."""
        return "LLM2VecGenTruncationEvent"
