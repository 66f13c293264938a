"""The training objective, as functions of tensors."""

from llm2vec_gen_rag.training.objective.losses import (
    StepLosses,
    TokenPair,
    pair_losses,
    step_losses,
    tokenize_pairs,
)

__all__ = ["StepLosses", "TokenPair", "pair_losses", "step_losses", "tokenize_pairs"]
