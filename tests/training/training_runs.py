"""What every test of training trains on, and how it is compared and cut short."""

from __future__ import annotations

import numpy as np

from llm2vec_gen_rag.training.config import Recipe

QUESTIONS = [
    "where do polar bears live",
    "Write a short story about a lost sailor",
    "why",
    "what does disk cleanup mean on a computer",
]
ANSWERS = [
    "Polar bears live in the Arctic.",
    "A sailor lost the way home.",
    "Because.",
    "It frees up space by deleting temporary files.",
]
RECIPE = Recipe(
    learning_rate=1e-2,
    warmup_steps=2,
    steps=30,
    batch_size=4,
    max_length=64,
    logging_steps=10,
    report_to="none",
)


def teacher_of(model):
    """Random teacher vectors of the answers, the same for each model of a dimension."""
    vectors = np.random.default_rng(0).normal(size=(len(ANSWERS), model.dimension))
    return vectors.astype(np.float32)


class StopError(Exception):
    """Stands for whatever stops a run."""


def stop_in_step(model, step):
    """Let the model's run end in the middle of a step, counted from 1."""
    calls = []

    def stop(*_):
        calls.append(1)
        if len(calls) == step:
            raise StopError

    model.alignment.register_forward_hook(stop)


def count_steps(model):
    """Count the micro-batches that a model is trained on from here on."""
    calls = []
    model.alignment.register_forward_hook(lambda *_: calls.append(1))
    return calls
