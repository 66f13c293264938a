"""What a fresh model starts as, before any training: sizes and initial values."""

from __future__ import annotations

from dataclasses import dataclass

from llm2vec_gen_rag.arguments import require_positive


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """The choices of a fresh model, which a training recipe shares; refused unless they agree.

    Attributes:
        response_tokens: N, how many are appended to a text.
        compression_tokens: K <= N, how many of their states are read, counted from the end.
        initial_text: what the response tokens start as: the embeddings of its last N tokens, the
            text repeated where it is shorter. Empty: rows near the mean embedding.
        seed: of the fresh weights.
        lora_rank: rank of low-rank updates, on only while embedding; 0 makes none.
        lora_alpha: the updates are scaled by lora_alpha / lora_rank.
    """

    response_tokens: int
    compression_tokens: int
    initial_text: str
    seed: int
    lora_rank: int
    lora_alpha: float

    def __post_init__(self) -> None:
        require_positive("response_tokens", self.response_tokens)
        require_positive("compression_tokens", self.compression_tokens)
        if self.lora_rank < 0 or self.lora_alpha <= 0:
            raise ValueError(
                f"lora_rank is {self.lora_rank!r} and lora_alpha {self.lora_alpha!r}; expected a "
                "rank of at least 0, which means no LoRA, and an alpha above 0"
            )
        if self.compression_tokens > self.response_tokens:
            raise ValueError(
                f"compression_tokens is {self.compression_tokens} and response_tokens is "
                f"{self.response_tokens}; expected at most as many: they are the last of them"
            )
