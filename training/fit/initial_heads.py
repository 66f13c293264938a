"""Initial heads in closed form, by least squares, instead of random ones.

A frozen LLM's last hidden states are long and point mostly in one direction, so the output of a
random head is further from the teacher than zero is; until training has undone that, its gradient
says nothing useful to the response tokens. With h_i the states of the response tokens,
x = s mean_i h_i and t the teacher's vector, the heads start as:

    W_rec = s I,                       s = rms(input embeddings) / rms(h)
    W_ali = argmin_W sum ||W (x - mean x) - (t - mean t)||^2 + ridge ||W||^2

so that soft prompts have the norm of the token embeddings that the LLM was trained on. The ridge is
the one with the least error on rows that are left out, one at a time. After the last step of a run
whose heads moved little, the alignment head can be fitted again, to states that are no longer those
it was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llm2vec_gen_rag.backbone.facts import embedding_weight
from llm2vec_gen_rag.encoder import batches, last_hidden_states
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe

# times the mean variance of the states over their dimensions
RIDGES = tuple(float(ridge) for ridge in np.logspace(-5, 0.5, 12))


@torch.no_grad()
def initialise_heads(
    model: LLM2VecGen,
    questions: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
) -> float:
    """Set both heads of a model to their closed form on a sample of the training pairs.

    Args:
        model: the model, with untrained response tokens; changed in place.
        questions: each with its instruction.
        teacher_vectors: (questions, model.dimension), the teacher's vectors of the answers.
        recipe: gives `least_squares_rows`, `max_length` and `seed`.

    Returns:
        The share of the teacher's variance that the heads explain on rows of the sample that are
        left out, at most 1.

    Raises:
        ValueError: if there are fewer than two rows to fit on.
    """
    chosen, targets = _sample(questions, teacher_vectors, recipe, "least_squares_rows")
    means, squares = _mean_states(model, chosen, recipe.max_length)
    scale = embedding_weight(model.backbone).float().pow(2).mean().sqrt().cpu() / squares.sqrt()
    model.reconstruction.weight.copy_(scale * torch.eye(means.shape[1]))
    model.reconstruction.bias.zero_()
    return _fit_alignment(model, means, targets)


@torch.no_grad()
def refit_alignment_head(
    model: LLM2VecGen,
    questions: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
) -> float:
    """Fit the alignment head of a trained model again, in closed form.

    Args:
        model: the model; its alignment head is changed in place.
        questions: as `initialise_heads`.
        teacher_vectors: as `initialise_heads`.
        recipe: gives `refit_rows`, `max_length` and `seed`.

    Returns:
        As `initialise_heads`.

    Raises:
        ValueError: as `initialise_heads`.
    """
    chosen, targets = _sample(questions, teacher_vectors, recipe, "refit_rows")
    means, _ = _mean_states(model, chosen, recipe.max_length)
    return _fit_alignment(model, means, targets)


def _sample(
    questions: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    name: str,
) -> tuple[list[str], npt.NDArray[np.floating]]:
    """Return as many questions as the recipe's value of that name says, and their vectors."""
    count: int = getattr(recipe, name)
    if min(len(questions), count) < 2:
        raise ValueError(
            f"{name} is {count} and there are {len(questions)} questions; expected at least two "
            f"of both, or {name} 0"
        )
    # the first epoch has this same order, so these are its last rows: what is fitted on them
    # before the first step would teach the first steps nothing
    order = np.random.default_rng(recipe.seed).permutation(len(questions))
    rows = np.sort(order[-count:])
    return [questions[row] for row in rows], teacher_vectors[rows]


def _fit_alignment(
    model: LLM2VecGen, means: Tensor, teacher_vectors: npt.NDArray[np.floating]
) -> float:
    """Set the alignment head to its closed form behind the reconstruction head."""
    head = model.reconstruction
    inputs = means @ head.weight.double().cpu().T + head.bias.double().cpu()
    targets = torch.from_numpy(np.asarray(teacher_vectors, dtype=np.float64))
    weight, bias, explained = ridge_regression(inputs, targets)
    model.alignment.weight.copy_(weight)
    model.alignment.bias.copy_(bias)
    return explained


def ridge_regression(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, float]:
    """Fit targets as a linear function of inputs, by the best of `RIDGES`.

    Of a ridge k, with X the centred inputs, H = X (X'X + k I)^-1 X' + 1/n and y the targets, row i
    is missed by (y - H y)_i / (1 - H_ii) when it is left out (Allen 1974, PRESS).

    Args:
        inputs: (rows, h), float64.
        targets: (rows, d), float64.

    Returns:
        The weight (d, h), the bias (d,), and the share of the targets' variance that is explained
        on rows left out one at a time.
    """
    mean, offset = inputs.mean(dim=0), targets.mean(dim=0)
    centred, wanted = inputs - mean, targets - offset
    variances, directions = torch.linalg.eigh(centred.T @ centred)
    variances = variances.clamp(min=torch.finfo(wanted.dtype).tiny)
    projected = centred @ directions
    loads = projected.T @ wanted

    def missed(inverse: Tensor) -> float:
        """Return the squared error on rows left out, for the inverse of variances plus ridge."""
        leverage = projected.square() @ inverse + 1 / len(inputs)
        left_out = wanted - projected @ (inverse[:, None] * loads)
        return float((left_out / (1 - leverage).clamp(min=1e-6)[:, None]).square().sum())

    inverse = min((1 / (variances + ridge * variances.mean()) for ridge in RIDGES), key=missed)
    weight = (directions @ (inverse[:, None] * loads)).T
    total = float(wanted.square().sum().clamp(min=torch.finfo(wanted.dtype).tiny))
    return weight, offset - weight @ mean, 1 - missed(inverse) / total


def _mean_states(
    model: LLM2VecGen, questions: Sequence[str], max_length: int
) -> tuple[Tensor, Tensor]:
    """Return the mean state of each question, float64 (questions, hidden), and the mean square."""
    room = max_length - len(model.response_tokens)
    ids = model.text_tokenizer.token_ids(questions, max_tokens=room)
    means = torch.empty(len(ids), model.reconstruction.in_features, dtype=torch.float64)
    squares = torch.zeros((), dtype=torch.float64)
    for batch in batches(model, ids):
        states = last_hidden_states(model, [ids[row] for row in batch]).double().cpu()
        means[torch.as_tensor(batch)] = states.mean(dim=1)
        squares += states.pow(2).mean() * len(batch) / len(ids)
    return means, squares
