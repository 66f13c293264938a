"""The training objective: what one step asks of the response tokens.

With h_1..h_K the states of the compression tokens and p_i = W_rec h_i the soft prompts,

    L = w_rec * -log P_LLM(answer | p_1..p_K)  +  w_ali * mean((mean_i W_ali p_i - E(answer))^2)

(arXiv 2603.10913, section 3). Both terms reach the response tokens and the reconstruction head;
only the second reaches the alignment head. The LLM and the teacher E are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llm2vec_gen_rag.backbone.int8 import refuse_gradient
from llm2vec_gen_rag.encoder import soft_prompts
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.text_tokenizer import TokenIds
from llm2vec_gen_rag.training.objective.pairs import (
    TokenPair,
    check_pairs,
    check_teacher,
    tokenize_pairs,
)
from llm2vec_gen_rag.training.objective.reconstruction_loss import reconstruction_loss
from llm2vec_gen_rag.training.objective.states import backbone_states, response_token_states

PADDING = -1


@dataclass(frozen=True)
class StepLosses:
    """The two losses of one step, each a scalar tensor that carries gradient."""

    reconstruction: Tensor
    alignment: Tensor

    def total(self, reconstruction_weight: float = 1.0, alignment_weight: float = 1.0) -> Tensor:
        """Return the weighted sum that is minimised."""
        return reconstruction_weight * self.reconstruction + alignment_weight * self.alignment


def alignment_loss(embedding: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error between embeddings and teacher vectors, (batch, dimension)."""
    return F.mse_loss(embedding.float(), teacher.float())


def pair_losses(
    model: LLM2VecGen,
    pairs: Sequence[TokenPair],
    teacher: Tensor,
    *,
    reconstruct: bool = True,
    gradient_checkpointing: bool = False,
) -> StepLosses:
    """Return the losses of a batch of token pairs.

    The question is read without gradient and only its KV cache is kept. Gradient flows through the
    response tokens that follow it, and through the answer that follows the soft prompts; with LoRA
    it flows through the question, too. Projections and losses are float32 under any autocast.

    Args:
        model: the model in training; its backbone must not require gradient.
        pairs: the token pairs, best of similar length.
        teacher: (batch, dimension) teacher vectors of the answers, on the device of the heads.
        reconstruct: whether the LLM reads the answers; if not, the reconstruction loss is 0.
        gradient_checkpointing: whether layers are computed again in the backward pass: those of
            the answer, and of the response tokens where `response_token_states` can.

    Returns:
        Both losses, which carry gradient, but for a reconstruction loss that was left out.
    """
    questions = [pair.question for pair in pairs]
    states = response_token_states(model, questions, gradient_checkpointing=gradient_checkpointing)
    with torch.autocast(states.device.type, enabled=False):
        prompts = soft_prompts(model, states)
        # the head is linear, so the mean of its outputs is its output of the mean
        embedding = model.alignment(prompts.mean(dim=1))
    alignment = alignment_loss(embedding, teacher)
    if not reconstruct:
        return StepLosses(torch.zeros_like(alignment), alignment)
    answers = [pair.answer for pair in pairs]
    reconstruction = answer_loss(
        model, prompts, answers, gradient_checkpointing=gradient_checkpointing
    )
    return StepLosses(reconstruction, alignment)


def answer_loss(
    model: LLM2VecGen,
    prompts: Tensor,
    answers: Sequence[TokenIds],
    *,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Return the mean of -log P_LLM(answer token | soft prompts, answer tokens before it).

    Args:
        model: the model, whose frozen LLM reads the answers.
        prompts: (batch, K, hidden), the soft prompts.
        answers: token ids of each answer.
        gradient_checkpointing: as `pair_losses`.

    Returns:
        A scalar that carries gradient to the soft prompts.
    """
    predicting, labels = _predicting_states(model, prompts, answers, gradient_checkpointing)
    return reconstruction_loss(predicting, labels, model.backbone.get_output_embeddings())


def step_losses(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher: Tensor | npt.NDArray[np.floating],
    *,
    max_length: int = 512,
) -> StepLosses:
    """Return the reconstruction and alignment loss of one batch of texts.

    Both carry gradient to `model.response_tokens`, `model.reconstruction` and `model.alignment`,
    which are marked as requiring it. In a loop of your own on a CPU, put all steps inside
    `cpu.reuse_buffers(model.backbone.base_model)`: each step then reuses the last one's
    memory.

    Args:
        model: the model in training.
        questions: the questions, each with its instruction, as they will be encoded.
        answers: the LLM's answer to each; the token with which it ends one is appended.
        teacher: (batch, dimension) teacher vectors of the answers, a tensor or an array.
        max_length: the longest question (response tokens included) and the longest answer
            (end token included), in tokens; what is longer is cut.

    Returns:
        Both losses, which carry gradient.

    Raises:
        ValueError: if the batch is empty, the lengths differ, the teacher's shape is not
            (batch, model.dimension), `max_length` leaves no room for a question, or the LLM is in
            int8.
    """
    check_pairs(questions, answers)
    check_teacher(teacher, (len(questions), model.dimension))
    require_gradients(model)
    vectors = torch.as_tensor(teacher, dtype=torch.float32, device=model.alignment.weight.device)
    pairs = tokenize_pairs(model, questions, answers, max_length=max_length)
    return pair_losses(model, pairs, vectors)


def require_gradients(model: LLM2VecGen) -> None:
    """Let gradient reach what training changes: response tokens, both heads, low-rank updates.

    Args:
        model: the model to train.

    Raises:
        ValueError: if the LLM carries no gradient.
    """
    refuse_gradient(model.dtype)
    model.response_tokens.requires_grad_()
    model.reconstruction.requires_grad_()
    model.alignment.requires_grad_()
    if model.adapter is not None:
        for parameter in model.adapter.parameters():
            parameter.requires_grad_()


def _predicting_states(
    model: LLM2VecGen, prompts: Tensor, answers: Sequence[TokenIds], gradient_checkpointing: bool
) -> tuple[Tensor, Tensor]:
    """Return the state that predicts each answer token, (tokens, hidden), and the tokens.

    Answers are padded on the right. The LLM is causal, so nothing attends to the padding that
    follows it, and no attention mask is needed.
    """
    embedding = model.backbone.get_input_embeddings()
    rows = [torch.from_numpy(answer) for answer in answers]
    labels = pad_sequence(rows, batch_first=True, padding_value=PADDING).to(prompts.device)
    real = labels != PADDING
    # position K-1, the last soft prompt, predicts the first token; the last token predicts none
    read = embedding(labels[:, :-1].clamp(min=0))
    inputs = torch.cat([prompts.to(read.dtype), read], dim=1)
    states = backbone_states(model.backbone, inputs, gradient_checkpointing=gradient_checkpointing)
    return states[:, prompts.shape[1] - 1 :][real], labels[real]
