"""The training objective, as functions of tensors."""

from llm2vec_gen_rag.training.objective.losses import (
    StepLosses,
    answer_loss,
    pair_losses,
    require_gradients,
    step_losses,
)
from llm2vec_gen_rag.training.objective.pairs import (
    ROWS_READ,
    TokenPair,
    check_pairs,
    check_teacher,
    tokenize_pairs,
)

__all__ = [
    "ROWS_READ",
    "StepLosses",
    "TokenPair",
    "answer_loss",
    "check_pairs",
    "check_teacher",
    "pair_losses",
    "require_gradients",
    "step_losses",
    "tokenize_pairs",
]
