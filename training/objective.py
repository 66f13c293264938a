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

from llm2vec_gen_rag.encoder import response_states, token_ids
from llm2vec_gen_rag.model import LLM2VecGen

IGNORED = -100


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
    """A question and its answer as token ids, the answer closed by the end-of-sequence token."""

    question: list[int]
    answer: list[int]


@dataclass(frozen=True)
class PairBatch:
    """Token pairs padded to tensors on one device.

    Attributes:
        question_ids: (batch, question tokens), padded on the left.
        question_mask: (batch, question tokens), 1 at real tokens.
        labels: (batch, answer tokens), padded on the right with -100. Behind a causal model nothing
            that comes before padding can see it, so the answers need no attention mask.
    """

    question_ids: Tensor
    question_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> PairBatch:
        """Return the batch on another device."""
        return PairBatch(
            self.question_ids.to(device), self.question_mask.to(device), self.labels.to(device)
        )


def reconstruction_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over all answer tokens of the batch.

    Args:
        logits: (answer tokens, vocabulary), the LLM's prediction of each answer token.
        labels: (answer tokens,), the answer tokens themselves.
    """
    return F.cross_entropy(logits.float(), labels)


def alignment_loss(embedding: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error between embeddings and teacher vectors, (batch, dimension)."""
    return F.mse_loss(embedding.float(), teacher.float())


def batch_losses(model: LLM2VecGen, batch: PairBatch, teacher: Tensor) -> StepLosses:
    """Return the losses of a batch of token pairs.

    The question is read without gradient and only its key-value cache is kept; gradient flows
    through the response tokens that follow it, and through the answer behind the soft prompts.
    Projections, pooling and losses are float32 under any autocast.

    Args:
        model: the model in training; its backbone must not require gradient.
        batch: token pairs from `collate`, on the device of the model.
        teacher: (batch, dimension) teacher vectors of the answers, on the same device.
    """
    states = response_states(model, batch.question_ids, batch.question_mask)
    with torch.autocast(states.device.type, enabled=False):
        soft_prompts = model.reconstruction(states.float())
        # the head is linear, so the mean of its outputs is its output of the mean
        embedding = model.alignment(soft_prompts.mean(dim=1))
    logits, labels = _answer_logits(model, soft_prompts, batch.labels)
    with torch.autocast(states.device.type, enabled=False):
        return StepLosses(reconstruction_loss(logits, labels), alignment_loss(embedding, teacher))


def step_losses(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher: Tensor | npt.NDArray[np.floating],
    *,
    max_length: int = 512,
) -> StepLosses:
    """Return the reconstruction and alignment loss of one batch of texts.

    Args:
        model: the model in training.
        questions: the questions, each with its instruction, as they will be encoded.
        answers: the LLM's answer to each; the tokenizer's end-of-sequence token is appended.
        teacher: (batch, dimension) teacher vectors of the answers, a tensor or an array.
        max_length: the longest question (response tokens included) and the longest answer
            (end-of-sequence token included), in tokens; what is longer is cut.

    Raises:
        ValueError: if the batch is empty, the lengths differ, the teacher's shape is not
            (batch, model.dimension), or `max_length` leaves no room for a question.
    """
    check_pairs(questions, answers)
    vectors = check_teacher(teacher, (len(questions), model.dimension))
    device = model.response_tokens.device
    pairs = tokenize_pairs(model, questions, answers, max_length=max_length)
    return batch_losses(model, collate(pairs).to(device), vectors.to(device))


def check_pairs(questions: Sequence[str], answers: Sequence[str]) -> None:
    """Raise ValueError unless there is one answer per question and at least one pair."""
    for name, texts in (("questions", questions), ("answers", answers)):
        if isinstance(texts, str):
            raise ValueError(f"{name} is a single string; expected a list of strings")
    if len(questions) != len(answers):
        raise ValueError(
            f"got {len(questions)} questions and {len(answers)} answers; expected one answer "
            "per question"
        )
    if not questions:
        raise ValueError("got no questions; expected at least one question with its answer")


def check_teacher(
    teacher: Tensor | npt.NDArray[np.floating], expected: tuple[int, int]
) -> Tensor:
    """Return teacher vectors as a float32 tensor.

    Raises:
        ValueError: if the shape is not the expected one or a value is not finite.
    """
    vectors = torch.as_tensor(teacher, dtype=torch.float32)
    if tuple(vectors.shape) != expected:
        raise ValueError(
            f"teacher has shape {tuple(vectors.shape)}; expected {expected}: one vector of the "
            "model's dimension per answer. Compute them from these answers, in this order."
        )
    if not vectors.isfinite().all():
        row = int((~vectors.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(f"teacher vector {row} holds NaN or infinity; compute it again")
    return vectors


def tokenize_pairs(
    model: LLM2VecGen, questions: Sequence[str], answers: Sequence[str], *, max_length: int
) -> list[TokenPair]:
    """Return the token ids of each pair; an answer carries the tokenizer's BOS, if any, and EOS."""
    tokenizer = model.tokenizer
    question_length = max_length - len(model.response_tokens)
    if question_length < 1:
        raise ValueError(
            f"max_length is {max_length}; expected more than {len(model.response_tokens)}, the "
            "response tokens that follow a question"
        )
    question_ids = token_ids(tokenizer, questions)
    answer_ids = token_ids(tokenizer, answers)
    return [
        TokenPair(question[:question_length], [*answer, tokenizer.eos_token_id][:max_length])
        for question, answer in zip(question_ids, answer_ids, strict=True)
    ]


def collate(pairs: Sequence[TokenPair]) -> PairBatch:
    """Return the pairs as one padded batch on the CPU."""
    longest = max(len(pair.question) for pair in pairs)
    padding = [longest - len(pair.question) for pair in pairs]
    labels = [torch.tensor(pair.answer) for pair in pairs]
    ids = [[0] * n + pair.question for n, pair in zip(padding, pairs, strict=True)]
    mask = [[0] * n + [1] * (longest - n) for n in padding]
    return PairBatch(
        question_ids=torch.tensor(ids, dtype=torch.long).reshape(len(pairs), longest),
        question_mask=torch.tensor(mask, dtype=torch.long).reshape(len(pairs), longest),
        labels=pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    )


def _answer_logits(
    model: LLM2VecGen, soft_prompts: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the LLM's logits at the answer tokens alone, and those tokens, both flat."""
    real = labels != IGNORED
    answers = model.backbone.get_input_embeddings()(labels.clamp(min=0))
    # position K-1, the last soft prompt, predicts the first token; the last token predicts none
    inputs = torch.cat([soft_prompts.to(answers.dtype), answers[:, :-1]], dim=1)
    states = model.backbone.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    at_answers = states[:, soft_prompts.shape[1] - 1 :][real]
    return model.backbone.get_output_embeddings()(at_answers), labels[real]
