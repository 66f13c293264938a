"""Training steps a second and peak memory, ours against the reference package's own step.

python -m benchmarks.training [--shape 12x512|0.6b] [--rounds 3]

Both train the same random-weight checkpoint on the same batch: forward, both losses, backward,
gradient clipping, AdamW. The reference has a teacher of the backbone's size beside it and asks it
in every step; ours is given the vectors that this teacher gives. The reference is measured in two
ways: keeping what its layers compute, which is faster; and computing it again on the way back
(gradient checkpointing), as its published configuration does, which is smaller. Ours keeps. Rounds
alternate between two processes, which are fresh for either way; their peaks are the memory.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from benchmarks.checkpoints import checkpoint_for
from benchmarks.figures import keep, parse, ratios, spread
from benchmarks.reference_environment import reference_python
from benchmarks.shapes import SHAPES, Shape
from benchmarks.texts import read_texts
from benchmarks.workers import Worker

BATCH = 4
QUESTION_TOKENS = 64
ANSWER_TOKENS = 256
IDS = range(1, 257)  # bytes; what a step costs depends on how many there are alone
END = 0
# whether the reference computes layers again on the way back
WAYS = {"without_checkpointing": False, "as_published": True}

Ids = list[list[int]]


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3, shape="0.6b")
    shape = SHAPES[options.shape]
    checkpoint = str(checkpoint_for(shape, read_texts(options.texts)))
    figures = {
        way: {
            "ratio_at_one_rate": round(
                reference_weights(shape, recomputed) / our_weights(shape), 2
            ),
            **measure(checkpoint, recomputed, options.rounds, options.threads),
        }
        for way, recomputed in WAYS.items()
    }
    sizes = {"batch": BATCH, "question": QUESTION_TOKENS, "answer": ANSWER_TOKENS}
    keep("training", {"tokens": sizes, **figures}, options)


def measure(checkpoint: str, recomputed: bool, rounds: int, threads: int) -> dict[str, Any]:
    """Return the figures beside one way of the reference.

    Args:
        checkpoint: that both train.
        recomputed: whether the reference computes layers again on the way back.
        rounds: how many are timed.
        threads: of each process.
    """
    with ours(threads) as our, reference(threads) as other:
        losses = begin(our, other, checkpoint, recomputed)
        seconds: dict[str, list[float]] = {"ours": [], "reference": []}
        for number in range(rounds + 1):
            mine, theirs = our.ask("steps", count=1), other.ask("steps", count=1)
            if number:  # the first of all is slower
                seconds["ours"].append(mine)
                seconds["reference"].append(theirs)
        peaks = {"ours": our.ask("peak"), "reference": other.ask("peak")}
    return {
        "losses": losses,
        "steps_per_second": {
            name: spread([1 / measured for measured in each]) for name, each in seconds.items()
        },
        "ratio": ratios(seconds["reference"], seconds["ours"]),
        "peak_mib": {name: spread([peak]) for name, peak in peaks.items()},
        "memory_ratio": ratios([peaks["ours"]], [peaks["reference"]]),
    }


def begin(our: Worker, other: Worker, checkpoint: str, recomputed: bool) -> dict[str, Any]:
    """Give both workers the checkpoint and the batch; return the losses they begin with."""
    our.ask("load", checkpoint=checkpoint)
    other.ask("load", checkpoint=checkpoint, recomputed=recomputed)
    questions, answers = batch()
    teacher = other.ask("batch", questions=questions, answers=answers)
    our.ask("batch", questions=questions, answers=answers, teacher=teacher)
    return {"ours": our.ask("losses"), "reference": other.ask("losses")}


def batch() -> tuple[Ids, Ids]:
    """Return the token ids of questions and of answers, the same at every call."""
    generator = random.Random(0)
    questions = [generator.choices(IDS, k=QUESTION_TOKENS) for _ in range(BATCH)]
    return questions, [[*generator.choices(IDS, k=ANSWER_TOKENS - 1), END] for _ in range(BATCH)]


def reference_weights(shape: Shape, recomputed: bool) -> int:
    """Return how many weights a step of the reference multiplies by, those of attention left out.

    A question and an answer go forward and back, with gradient checkpointing forward twice, and the
    teacher's answer forward. Gradient goes through every token, and to no frozen weight.
    """
    question = BATCH * (QUESTION_TOKENS + shape.response_tokens)
    answer = BATCH * (ANSWER_TOKENS + shape.response_tokens)
    passes = 3 if recomputed else 2
    body = passes * (question + answer) + BATCH * ANSWER_TOKENS
    return shape.layers * shape.layer_weights * body + 2 * answer * shape.vocabulary * shape.hidden


def our_weights(shape: Shape) -> int:
    """Return how many weights a step of ours multiplies by: the question's text forward alone."""
    response = BATCH * shape.response_tokens
    answer = BATCH * ANSWER_TOKENS
    # the last token of an answer predicts none
    body = BATCH * QUESTION_TOKENS + 2 * response + 2 * (response + answer - BATCH)
    return shape.layers * shape.layer_weights * body + 2 * answer * shape.vocabulary * shape.hidden


def ours(threads: int) -> Worker:
    """Return a process with this package's training step."""
    return Worker(sys.executable, "benchmarks.our_training_worker", threads)


def reference(threads: int) -> Worker:
    """Return a process with the reference package's."""
    return Worker(reference_python(), "benchmarks.reference_training_worker", threads)


if __name__ == "__main__":
    main()
