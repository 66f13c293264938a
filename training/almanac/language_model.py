"""The almanac's base language model: a byte-pair tokenizer and a small Qwen3, trained from nothing.

A row is a prompt and its answer; the loss is the cross-entropy of the answer's tokens and of the
end token after them. Rows of one batch have nearly the same length. The little padding is on the
right, where causal attention does not see it, so there is no mask.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

logger = logging.getLogger(__name__)
PAD, END = "<|pad|>", "<|end|>"
IGNORED = -100


@dataclass(frozen=True)
class LanguageModelRecipe:
    """Sizes and schedule of the base language model."""

    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 6
    intermediate: int = 640
    heads: int = 4
    steps: int = 5000
    batch_size: int = 96
    matrix_learning_rate: float = 0.006
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """A prompt and its answer as token ids; the answer ends with the end token."""

    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer: any text has ids, and the ids decode to the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, model_max_length=1024
    )


def new_model(recipe: LanguageModelRecipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return a Qwen3 of the recipe's size with random weights."""
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        intermediate_size=recipe.intermediate,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads // 2,
        head_dim=recipe.hidden // recipe.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config)
    model.set_attn_implementation("eager")  # at this size faster on a CPU than fused attention
    return model


def batches(rows: Sequence[Row], batch_size: int, seed: int) -> Iterator[list[Row]]:
    """Yield endless batches of similar lengths: each epoch is shuffled, then sorted in chunks."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator).tolist()
        found = []
        for start in range(0, len(order), batch_size * 40):
            stretch = sorted(order[start : start + batch_size * 40], key=lambda i: len(rows[i]))
            found += [stretch[i : i + batch_size] for i in range(0, len(stretch), batch_size)]
        for index in torch.randperm(len(found), generator=generator).tolist():
            yield [rows[i] for i in found[index]]


def collate(rows: Sequence[Row], pad: int) -> tuple[Tensor, Tensor]:
    """Return ids, and as labels the next id where it is part of the answer; both (rows, width)."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row.prompt + row.answer)
        labels[i, len(row.prompt) - 1 : len(row) - 1] = torch.tensor(row.answer)
    return ids, labels


def answer_loss(model: Qwen3ForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the answers' tokens; the head runs at no other position."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    chosen = labels != IGNORED
    logits = model.lm_head(hidden[chosen])
    return nn.functional.cross_entropy(logits.float(), labels[chosen])


def optimizers(model: nn.Module, recipe: LanguageModelRecipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices, and AdamW for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=0.01),
        torch.optim.AdamW(others, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def schedule(step: int, recipe: LanguageModelRecipe) -> float:
    """Return the factor of the learning rate: linear warm-up, then a cosine down to zero."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: Qwen3ForCausalLM,
    rows: Sequence[Row],
    recipe: LanguageModelRecipe,
    pad: int,
    second_loss: Callable[[Qwen3ForCausalLM], Tensor] | None = None,
) -> list[float]:
    """Train the model in place.

    Args:
        model: the model.
        rows: prompts and answers.
        recipe: gives steps, learning rates and seed; its sizes are unused.
        pad: id of the padding token.
        second_loss: the loss of a second task, called once a step and added to the first.

    Returns:
        The loss of `rows` in every step.
    """
    steppers = optimizers(model, recipe)
    peaks = [[group["lr"] for group in o.param_groups] for o in steppers]
    source, losses, started = batches(rows, recipe.batch_size, recipe.seed), [], time.monotonic()
    model.train()
    for step in range(recipe.steps):
        ids, labels = collate(next(source), pad)
        with torch.autocast("cpu", torch.bfloat16):
            loss = answer_loss(model, ids, labels)
        loss.backward()
        if second_loss:
            with torch.autocast("cpu", torch.bfloat16):
                other = second_loss(model)
            other.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        factor = schedule(step, recipe)
        for optimizer, rates in zip(steppers, peaks, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            _report(step + 1, recipe.steps, losses, started)
    model.eval()
    return losses


def _report(step: int, steps: int, losses: list[float], started: float) -> None:
    minutes = (time.monotonic() - started) / 60
    recent = sum(losses[-50:]) / len(losses[-50:])
    logger.info(
        "language model: step %d of %d, loss %.4f, %.1f minutes, %.1f to go",
        step,
        steps,
        recent,
        minutes,
        minutes * (steps / step - 1),
    )
