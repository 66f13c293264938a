"""The training objective: what one step asks of the response tokens.

With h_1..h_K the states of the compression tokens and p_i = W_rec h_i the soft prompts,

    L = w_rec * -log P_LLM(answer | p_1..p_K)  +  w_ali * mean((mean_i W_ali p_i - E(answer))^2)

(arXiv 2603.10913, section 3). Both terms reach the response tokens and the reconstruction head;
only the second reaches the alignment head. The LLM and the teacher E are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from llm2vec_gen_rag.arguments import as_texts, require_room
from llm2vec_gen_rag.backbone.int8 import refuse_gradient
from llm2vec_gen_rag.cpu.backward import last_states, replaces_own_forward
from llm2vec_gen_rag.encoder import soft_prompts
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.text_tokenizer import TokenIds
from llm2vec_gen_rag.training.objective.answer_end import answer_end_id
from llm2vec_gen_rag.training.objective.gradient_checkpointing import recomputed_layers
from llm2vec_gen_rag.training.objective.reconstruction_loss import reconstruction_loss
from llm2vec_gen_rag.training.objective.states import response_states

PADDING = -1
ROWS_READ = 4096


@dataclass(frozen=True)
class StepLosses:
    """The two losses of one step, each a scalar tensor that carries gradient."""

    reconstruction: Tensor
    alignment: Tensor

    def total(self, reconstruction_weight: float = 1.0, alignment_weight: float = 1.0) -> Tensor:
        """Return the weighted sum that is minimised."""
        return reconstruction_weight * self.reconstruction + alignment_weight * self.alignment


@dataclass(frozen=True)
class TokenPair:
    """A question and its answer as token ids, the answer closed by the LLM's own end token."""

    question: TokenIds
    answer: TokenIds


def alignment_loss(embedding: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error between embeddings and teacher vectors, (batch, dimension)."""
    return F.mse_loss(embedding.float(), teacher.float())


def pair_losses(
    model: LLM2VecGen,
    pairs: Sequence[TokenPair],
    teacher: Tensor,
    *,
    gradient_checkpointing: bool = False,
) -> StepLosses:
    """Return the losses of a batch of token pairs.

    The question is read without gradient and only its key-value cache is kept; gradient flows
    through the response tokens that follow it, and through the answer behind the soft prompts. With
    LoRA it flows through the question, too. Projections and losses are float32 under any autocast.

    Args:
        model: the model in training; its backbone must not require gradient.
        pairs: the token pairs, best of similar length.
        teacher: (batch, dimension) teacher vectors of the answers, on the device of the heads.
        gradient_checkpointing: compute the layers again on the way back, in place of keeping what
            they computed: of the answer, and of the response tokens as far as `response_states`
            can.
    """
    questions = [pair.question for pair in pairs]
    states = response_states(model, questions, recomputed=gradient_checkpointing)
    with torch.autocast(states.device.type, enabled=False):
        prompts = soft_prompts(model, states)
        # the head is linear, so the mean of its outputs is its output of the mean
        embedding = model.alignment(prompts.mean(dim=1))
    before, labels = _before_answer_tokens(
        model, prompts, [pair.answer for pair in pairs], gradient_checkpointing
    )
    reconstruction = reconstruction_loss(before, labels, model.backbone.get_output_embeddings())
    return StepLosses(reconstruction, alignment_loss(embedding, teacher))


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
    which are marked as requiring it. In a loop of your own, `step_memory.memory_for_steps` around
    all steps lets one on a CPU use the memory of the last.

    Args:
        model: the model in training.
        questions: the questions, each with its instruction, as they will be encoded.
        answers: the LLM's answer to each; the token with which it ends one is appended.
        teacher: (batch, dimension) teacher vectors of the answers, a tensor or an array.
        max_length: the longest question (response tokens included) and the longest answer
            (end token included), in tokens; what is longer is cut.

    Raises:
        ValueError: if the batch is empty, the lengths differ, the teacher's shape is not
            (batch, model.dimension), `max_length` leaves no room for a question, or the LLM is in
            int8.
    """
    check_pairs(questions, answers)
    check_teacher(teacher, (len(questions), model.dimension))
    mark_trained(model)
    vectors = torch.as_tensor(teacher, dtype=torch.float32, device=model.alignment.weight.device)
    pairs = tokenize_pairs(model, questions, answers, max_length=max_length)
    return pair_losses(model, pairs, vectors)


def mark_trained(model: LLM2VecGen) -> None:
    """Let gradient reach what training changes: response tokens, both heads, low-rank updates.

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


def check_pairs(questions: Sequence[str], answers: Sequence[str]) -> None:
    """Raise ValueError unless there is one answer per question and at least one pair."""
    for name, texts in (("questions", questions), ("answers", answers)):
        if isinstance(texts, str):
            raise ValueError(f"{name} is a single string; expected a list of strings")
        as_texts(texts)
    if len(questions) != len(answers):
        raise ValueError(
            f"got {len(questions)} questions and {len(answers)} answers; expected one answer "
            "per question"
        )
    if not questions:
        raise ValueError("got no questions; expected at least one question with its answer")


def check_teacher(teacher: Tensor | npt.NDArray[np.floating], expected: tuple[int, int]) -> None:
    """Raise ValueError unless teacher vectors are of the expected shape and finite.

    They are read in pieces, so that those in a file mapped into memory stay there.
    """
    if tuple(teacher.shape) != expected:
        raise ValueError(
            f"teacher has shape {tuple(teacher.shape)}; expected {expected}: one vector of the "
            "model's dimension per answer. Compute them from these answers, in this order."
        )
    for start in range(0, len(teacher), ROWS_READ):
        rows = teacher[start : start + ROWS_READ]
        finite = rows.isfinite() if isinstance(rows, Tensor) else torch.tensor(np.isfinite(rows))
        if not finite.all():
            row = start + int(finite.all(dim=1).logical_not().nonzero()[0])
            raise ValueError(f"teacher vector {row} holds NaN or infinity; compute it again")


def tokenize_pairs(
    model: LLM2VecGen, questions: Sequence[str], answers: Sequence[str], *, max_length: int
) -> list[TokenPair]:
    """Return the token ids of each pair.

    An answer carries the tokenizer's BOS, if any, and the token with which the LLM ends an answer.

    Raises:
        ValueError: if the LLM has no end token, or `max_length` leaves no room for a question.
    """
    end = answer_end_id(model.backbone, model.tokenizer)
    response_tokens = len(model.response_tokens)
    require_room(max_length, response_tokens)
    room = max_length - response_tokens
    question_ids = model.text_tokenizer.token_ids(questions, max_tokens=room)
    answer_ids = model.text_tokenizer.token_ids(answers)
    return [
        TokenPair(question, np.append(answer, end)[:max_length])
        for question, answer in zip(question_ids, answer_ids, strict=True)
    ]


def _before_answer_tokens(
    model: LLM2VecGen, prompts: Tensor, answers: Sequence[TokenIds], recomputed: bool
) -> tuple[Tensor, Tensor]:
    """Return the LLM's last state in front of each answer token, and those tokens, both flat.

    Answers are padded on the right: behind a causal model nothing in front of the padding sees it,
    so no attention mask is needed.
    """
    embedding = model.backbone.get_input_embeddings()
    rows = [torch.from_numpy(answer) for answer in answers]
    labels = pad_sequence(rows, batch_first=True, padding_value=PADDING).to(prompts.device)
    real = labels != PADDING
    # position K-1, the last soft prompt, predicts the first token; the last token predicts none
    read = embedding(labels[:, :-1].clamp(min=0))
    inputs = torch.cat([prompts.to(read.dtype), read], dim=1)
    states = _states_of(model.backbone, inputs, recomputed)
    return states[:, prompts.shape[1] - 1 :][real], labels[real]


def _states_of(backbone: PreTrainedModel, inputs: Tensor, recomputed: bool) -> Tensor:
    """Return last hidden states (batch, tokens, hidden), and keep the less where that is known."""
    if replaces_own_forward(backbone):
        return last_states(backbone, inputs, recomputed=recomputed)
    with recomputed_layers(backbone) if recomputed else nullcontext():
        output = backbone.base_model(inputs_embeds=inputs, use_cache=False)
    states: Tensor = output.last_hidden_state
    return states
