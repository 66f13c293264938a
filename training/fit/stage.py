"""The fit stage: response tokens, two linear heads and, by choice, LoRA; nothing else changes.

Everything that does not change from step to step is done before the first: texts are tokenized,
every step's rows are planned, the teacher is a matrix. The frozen LLM is borrowed, never saved.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.backbone.int8 import refuse_gradient
from llm2vec_gen_rag.files import storing
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.batches import PlannedBatches
from llm2vec_gen_rag.training.fit.curves import draw_curves
from llm2vec_gen_rag.training.fit.finished_run import read_finished, restore_trained, write_finished
from llm2vec_gen_rag.training.fit.initial_heads import start_heads
from llm2vec_gen_rag.training.fit.model_card import fit_card
from llm2vec_gen_rag.training.fit.run_checkpoints import KEPT, RunCheckpoints, run_identity
from llm2vec_gen_rag.training.fit.trainer import ResponseTokenTrainer, TrainedParts
from llm2vec_gen_rag.training.fit.trainer_arguments import trainer_arguments
from llm2vec_gen_rag.training.fit.training_mode import training_mode
from llm2vec_gen_rag.training.objective import (
    TokenPair,
    check_pairs,
    check_teacher,
    tokenize_pairs,
)

CURVES_FILE = "loss_curves.png"
CARD_FILE = "README.md"
LOGGED = ("step", "reconstruction", "alignment", "learning_rate", "grad_norm")


@dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        folder: where the trained model stands, in the published format.
        reconstruction: reconstruction loss, mean of the steps since the last log but one.
        alignment: alignment loss, mean of the same steps.
        seconds: how long the steps took, without those of an earlier, stopped call.
        log: one entry per `logging_steps`: the step, both losses, unweighted, as means since the
            entry before (or since the run went on), the learning rate and the norm of the gradient.
        found: whether the folder held the finished model of this very run, and nothing was done.
    """

    folder: Path
    reconstruction: float
    alignment: float
    seconds: float
    log: list[dict[str, float]]
    found: bool = False


def fit(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    output_folder: str | Path,
    *,
    untrained: str | None = None,
    show_progress: bool = False,
) -> FitResult:
    """Train the response tokens and both heads of a model in place, and save it.

    The same call after a stop goes on from the last checkpoint, to the weights that it would have
    come to without the stop; after the end, it gives the model the trained weights and does nothing
    else. Started by `accelerate launch`, every process makes this call with its own copy of the
    model, and they share each step.

    Args:
        model: the model, as `LLM2VecGen.initialise` or `from_pretrained` gives it; untrained again
            where a run goes on.
        questions: each with its instruction, as it will be encoded.
        answers: the LLM's answer to each question.
        teacher_vectors: (questions, model.dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        output_folder: gets the model in the published format, `README.md`, `training_log.json` and
            `loss_curves.png`; while training, checkpoints.
        untrained: what the model's weights were made from, beside the recipe, by which a stopped
            run is known again: made under another number of threads, they differ in their last
            bits. None takes a hash of the weights.
        show_progress: show a progress bar.

    Raises:
        ValueError: if the data or the recipe do not fit together or do not fit the model, or the
            folder holds the checkpoints or the finished model of another run.
        CheckpointError: if the folder holds the finished model of this run, damaged.
        NonFiniteError: if a loss is NaN or infinite.
        StorageError: if the folder cannot be written to, or the disk is full.
    """
    _check_model(model, recipe)
    check_pairs(questions, answers)
    check_teacher(teacher_vectors, (len(questions), model.dimension))
    pairs = tokenize_pairs(model, questions, answers, max_length=recipe.max_length)
    folder = Path(output_folder)
    arguments = trainer_arguments(model, recipe, folder, show_progress=show_progress)
    data = PlannedBatches(pairs, teacher_vectors, recipe, processes=arguments.world_size)
    checkpoints = RunCheckpoints(folder)
    run = run_identity(model, pairs, teacher_vectors, recipe, untrained)
    if (finished := read_finished(folder, run)) is not None:
        restore_trained(model, folder)
        if arguments.should_save:
            checkpoints.discard()  # where a stop came between the end and this
        return _result(folder, finished["seconds"], finished["log"], found=True)
    checkpoints.check(run)
    if arguments.should_save:
        checkpoints.begin(run)
    if recipe.least_squares_rows and checkpoints.last is None:
        start_heads(model, questions, teacher_vectors, recipe)
    trainer = ResponseTokenTrainer(
        recipe=recipe,
        checkpoints=checkpoints,
        model=TrainedParts(model, recipe),
        args=arguments,
        train_dataset=data,
    )
    with training_mode(model, recipe):
        result = _train(trainer, folder, checkpoints.last)
    if arguments.should_save:
        _save(model, result, recipe, pairs, run)
        checkpoints.discard()
    trainer.accelerator.wait_for_everyone()
    return result


def _train(trainer: ResponseTokenTrainer, folder: Path, last: Path | None) -> FitResult:
    """Take the steps that are left.

    Raises:
        StorageError: if what TensorBoard or W&B read cannot be written.
    """
    started = time.perf_counter()
    with storing(f"the log of the run in {folder}", KEPT):
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return _result(folder, time.perf_counter() - started, _losses_of(trainer), found=False)


def _result(folder: Path, seconds: float, log: list[dict[str, float]], *, found: bool) -> FitResult:
    """Return what a run with this log came to."""
    last = log[-1]
    return FitResult(folder, last["reconstruction"], last["alignment"], seconds, log, found)


def _check_model(model: LLM2VecGen, recipe: Recipe) -> None:
    """Raise ValueError where the model carries no gradient, or is of another size."""
    refuse_gradient(model.dtype)
    found = (len(model.response_tokens), model.compression_tokens)
    expected = (recipe.response_tokens, recipe.compression_tokens)
    if found != expected:
        raise ValueError(
            f"the model has {found[0]} response and {found[1]} compression tokens, the recipe "
            f"{expected[0]} and {expected[1]}; make them equal in one of the two"
        )
    updates = {} if model.adapter is None else model.adapter.updates
    rank = max((len(update.down) for update in updates.values()), default=0)
    if rank != recipe.lora_rank:
        raise ValueError(
            f"the model has low-rank updates of rank {rank}, the recipe lora_rank "
            f"{recipe.lora_rank} (0 is none); make them equal in one of the two"
        )


def _losses_of(trainer: ResponseTokenTrainer) -> list[dict[str, float]]:
    """Return both losses of every logged stretch of steps, the last and shorter one included."""
    return [
        {name: entry[name] for name in LOGGED if name in entry}
        for entry in trainer.state.log_history
        if "reconstruction" in entry
    ]


def _save(
    model: LLM2VecGen,
    result: FitResult,
    recipe: Recipe,
    pairs: Sequence[TokenPair],
    run: Mapping[str, Any],
) -> None:
    """Write the model, its card, the curves and, once these are whole, the log.

    Raises:
        StorageError: if they cannot be written; the checkpoint of the last step stays.
    """
    log = {
        "recipe": dataclasses.asdict(recipe),
        "pairs": len(pairs),
        "seconds": round(result.seconds, 1),
        "log": result.log,
    }
    card = fit_card(result.folder.resolve().name, model, recipe, pairs, result.log)
    what = f"the trained model in {result.folder}"
    with storing(what, "the checkpoint of the last step is kept", RuntimeError):
        model.save_pretrained(result.folder)
        draw_curves(result.log, result.folder / CURVES_FILE)
        (result.folder / CARD_FILE).write_text(card, encoding="utf-8")
        write_finished(result.folder, run, log)
