"""Training steps per second and peak memory, ours against the reference package's own step.

python -m benchmarks.training [--shape 12x512|0.6b] [--rounds 3]

Both train the same random-weight checkpoint on the same batch: forward, both losses, backward,
gradient clipping, AdamW. The reference holds a teacher of the backbone's size and runs it in every
step; ours is given the vectors that this teacher gives. The reference is measured twice: without
gradient checkpointing, which is faster, and with it, as its published configuration has it, which
is smaller. Ours uses none. Rounds alternate between two processes, fresh for each of the two
measurements; their peaks are the memory.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from benchmarks.checkpoints import Shape, prepare
from benchmarks.figures import in_turn, keep, parse, ratios, spread
from benchmarks.workers import Worker, ours, reference

BATCH = 4
QUESTION_TOKENS = 64
ANSWER_TOKENS = 256
IDS = range(1, 257)  # bytes; the cost of a step depends on their number alone
END = 0
# whether the reference's backward pass computes the layers again
WAYS = {"without_checkpointing": False, "as_published": True}

Ids = list[list[int]]


def main() -> None:
    """Measure, print, and write."""
    options = parse(__doc__, rounds=3)
    shape, _, checkpoint = prepare(options)
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
    """Return the figures against the reference with or without gradient checkpointing."""
    with ours(threads) as our, reference(threads) as other:
        workers = {"ours": our, "reference": other}
        losses = begin(our, other, checkpoint, recomputed)
        calls = {name: partial(worker.ask, "step") for name, worker in workers.items()}
        # the first step is slower
        seconds = {name: each[1:] for name, each in in_turn(rounds + 1, calls).items()}
        peaks = {name: worker.ask("peak") for name, worker in workers.items()}
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
    """Give both workers the checkpoint and the batch; return the losses that they start with."""
    our.ask("load_for_training", checkpoint=checkpoint)
    other.ask("load_for_training", checkpoint=checkpoint, recomputed=recomputed)
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

    Question and answer have a forward pass, two with gradient checkpointing, and a backward pass;
    the teacher's answer has a forward pass. The gradient reaches every token, but no frozen weight.
    """
    question = BATCH * (QUESTION_TOKENS + shape.response_tokens)
    answer = BATCH * (ANSWER_TOKENS + shape.response_tokens)
    passes = 3 if recomputed else 2
    body = passes * (question + answer) + BATCH * ANSWER_TOKENS
    return shape.layers * shape.layer_weights * body + 2 * answer * shape.vocabulary * shape.hidden


def our_weights(shape: Shape) -> int:
    """Return how many weights a step of ours multiplies by; the question has no backward pass."""
    response = BATCH * shape.response_tokens
    answer = BATCH * ANSWER_TOKENS
    # the last token of an answer predicts none
    body = BATCH * QUESTION_TOKENS + 2 * response + 2 * (response + answer - BATCH)
    return shape.layers * shape.layer_weights * body + 2 * answer * shape.vocabulary * shape.hidden


if __name__ == "__main__":
    main()
