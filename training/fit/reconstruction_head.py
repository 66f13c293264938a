"""Training of the reconstruction head alone, for a model whose embeddings are to stay as they are.

With W the reconstruction head, A the alignment head and h the mean of the response tokens' states,
an embedding is e = A W h. For any invertible W' there is an A' = A W W'^-1 with A' W' h = e. So W
can be trained for decoding after all else was trained for retrieval, and nothing but the LLM behind
the soft prompts is read backward: no text, and no response token.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from llm2vec_gen_rag.cpu import reuse_buffers
from llm2vec_gen_rag.encoder import batches, last_hidden_states
from llm2vec_gen_rag.errors import NonFiniteError
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.fit.batches import plan_steps
from llm2vec_gen_rag.training.objective import TokenPair, answer_loss, check_pairs, tokenize_pairs

DEVIATION = 1e-3  # of an embedding's length: more, and W' is too near to a singular matrix


@dataclass(frozen=True)
class HeadRecipe:
    """How the head is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: question-answer pairs a step.
        learning_rate: peak of the linear schedule.
        warmup_steps: steps from zero to the peak.
        answer_tokens: longest answer, in tokens; what is longer is cut.
        max_length: longest question, response tokens included.
        seed: of the order of the pairs.
    """

    steps: int = 90
    batch_size: int = 32
    learning_rate: float = 3e-4
    warmup_steps: int = 10
    answer_tokens: int = 32
    max_length: int = 128
    seed: int = 42


def fit_reconstruction_head(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    recipe: HeadRecipe,
    *,
    show_progress: bool = False,
) -> list[float]:
    """Train the reconstruction head of a model in place; its embeddings stay the same.

    Args:
        model: the trained model.
        questions: each with its instruction, as it will be encoded.
        answers: what the embedding of each shall decode to.
        recipe: how.
        show_progress: show a progress bar.

    Returns:
        The reconstruction loss of each step.

    Raises:
        ValueError: if the lengths differ or there is no pair.
        NonFiniteError: if a loss is NaN or infinite, or the trained head cannot be inverted.
    """
    check_pairs(questions, answers)
    pairs = tokenize_pairs(model, questions, answers, max_length=recipe.max_length)
    cut = [TokenPair(pair.question, pair.answer[: recipe.answer_tokens]) for pair in pairs]
    steps = plan_steps(cut, steps=recipe.steps, batch_size=recipe.batch_size, seed=recipe.seed)
    states = _states(model, cut)
    before = copy.deepcopy(model.reconstruction)
    losses = _train(model, cut, states, steps, recipe, show_progress)
    _keep_embeddings(model, before, states)
    return losses


@torch.no_grad()
def _states(model: LLM2VecGen, pairs: Sequence[TokenPair]) -> Tensor:
    """Return the states of the response tokens behind each question, (pairs, K, hidden)."""
    ids = [pair.question for pair in pairs]
    shape = (len(ids), model.compression_tokens, model.reconstruction.in_features)
    states = torch.empty(shape, device=model.reconstruction.weight.device)
    for batch in batches(model, ids):
        read = last_hidden_states(model, [ids[row] for row in batch])
        states[torch.as_tensor(batch)] = read.to(states)
    return states


def _train(
    model: LLM2VecGen,
    pairs: Sequence[TokenPair],
    states: Tensor,
    steps: Sequence[Sequence[int]],
    recipe: HeadRecipe,
    show_progress: bool,
) -> list[float]:
    """Take all steps, and return the loss of each."""
    head = model.reconstruction.requires_grad_()
    optimizer = torch.optim.AdamW(head.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, recipe.warmup_steps, recipe.steps)
    losses: list[float] = []
    with reuse_buffers(model.backbone.base_model):
        for rows in tqdm(steps, desc="Reconstruction head", disable=not show_progress):
            answers = [pairs[row].answer for row in rows]
            loss = answer_loss(model, head(states[torch.as_tensor(rows)]), answers)
            if not torch.isfinite(loss):
                raise NonFiniteError(
                    f"at step {len(losses) + 1} the reconstruction loss is {loss.item()}; expected "
                    "a finite number. Lower the learning rate."
                )
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    head.requires_grad_(False)
    return losses


@torch.no_grad()
def _keep_embeddings(model: LLM2VecGen, before: nn.Linear, states: Tensor) -> None:
    """Set the alignment head so that embeddings are what they were with the head before."""
    means = states.mean(dim=1)
    wanted = model.alignment(before(means))
    alignment, head = model.alignment.weight.double(), model.reconstruction.weight.double()
    product = alignment @ before.weight.double()
    weight = torch.linalg.solve(head.T, product.T).T
    offset = alignment @ before.bias.double() - weight @ model.reconstruction.bias.double()
    model.alignment.weight.copy_(weight)
    model.alignment.bias.add_(offset)
    moved = (model.alignment(model.reconstruction(means)) - wanted).norm(dim=1)
    deviation = float((moved / wanted.norm(dim=1)).max())
    if not deviation <= DEVIATION:
        raise NonFiniteError(
            f"an embedding moved by {deviation:.2g} of its length when the reconstruction head was "
            f"replaced; expected at most {DEVIATION}. The head is nearly singular: lower the "
            "learning rate, or take fewer steps."
        )
