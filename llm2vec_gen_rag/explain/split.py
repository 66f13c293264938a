"""The cosine of two embeddings, split over their response tokens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from llm2vec_gen_rag.backbone.forwards import one_forward
from llm2vec_gen_rag.encoder import soft_prompts
from llm2vec_gen_rag.explain.findings import ScoreSplit
from llm2vec_gen_rag.model import LLM2VecGen

_SMALLEST_NORM = 1e-12  # as in torch's normalize: a vector of zeros has the cosine 0


def split_score(model: LLM2VecGen, query: Tensor, document: Tensor) -> ScoreSplit:
    """Split the cosine of a query and a document over their response tokens, exactly.

    An embedding is a mean over the K response tokens (arXiv 2603.10913, section 3), here a_i of the
    query and b_j of the document:

        a_i = W_ali p_i + b_ali,    a = mean_i a_i,    and b_j, b likewise
        cos(a, b) = sum_ij c_ij,    c_ij = a_i . b_j / (K^2 |a| |b|)

    A dot product is linear in each of its vectors, so nothing is left over. The sum of a row is
    what the query's token i contributes: a_i . b / (K |a| |b|), linear in the document's vector of
    length 1. A negative share is that of a token which points away from the other side.

    Args:
        model: the model.
        query: (K, hidden), the states of the query's response tokens.
        document: (K, hidden), those of the document's.

    Returns:
        The shares c_ij, in float64 of the float32 vectors.
    """
    ours, theirs = (_aligned(model, states) for states in (query, document))
    lengths = [max(float(np.linalg.norm(v.mean(axis=0))), _SMALLEST_NORM) for v in (ours, theirs)]
    cells = ours @ theirs.T / (len(ours) * len(theirs) * lengths[0] * lengths[1])
    return ScoreSplit(tuple(map(tuple, cells.tolist())))


def _aligned(model: LLM2VecGen, states: Tensor) -> npt.NDArray[np.float64]:
    """Return the vector of each response token, whose mean is the embedding: (K, dimension)."""
    with one_forward(model, tokens=len(states), forwards=0):
        vectors: Tensor = model.alignment(soft_prompts(model, states[None])[0])
        return vectors.cpu().numpy().astype(np.float64)
