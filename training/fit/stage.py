"""The fit stage: train response tokens, two linear heads and, optionally, LoRA.

Everything that does not change from step to step is done before the first: texts are tokenized,
every step's rows are planned, the teacher is a matrix. The frozen LLM is neither changed nor saved.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.files import storing
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.finished_run import read_finished, restore_trained
from llm2vec_gen_rag.training.fit.initial_heads import initialise_heads, refit_alignment_head
from llm2vec_gen_rag.training.fit.outputs import FitResult, save_outputs
from llm2vec_gen_rag.training.fit.plan import Plan, plan_run
from llm2vec_gen_rag.training.fit.trainer import ResponseTokenTrainer, TrainedParts
from llm2vec_gen_rag.training.fit.training_checkpoints import KEPT, TrainingCheckpoints
from llm2vec_gen_rag.training.fit.training_mode import training_mode
from llm2vec_gen_rag.training.folder_lock import written_by_one

LOGGED = ("step", "reconstruction", "alignment", "learning_rate", "grad_norm")


def fit(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    output_folder: str | Path,
    *,
    sources: Mapping[str, int] | None = None,
    untrained: str | None = None,
    show_progress: bool = False,
) -> FitResult:
    """Train the response tokens and both heads of a model in place, and save it.

    The same call after a stop resumes from the last training checkpoint and ends with the weights
    of a run that was never stopped; after the end, it gives the model the trained weights and does
    nothing else. Started by `accelerate launch`, every process makes this call with its own copy of
    the model, and they share each step.

    Args:
        model: the untrained model, from `LLM2VecGen.initialise` or `from_pretrained`; untrained
            also when a run resumes.
        questions: each with its instruction, as it will be encoded.
        answers: the answer to each question, as a rule the LLM's own.
        teacher_vectors: (questions, model.dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        output_folder: gets the model in the published format, `README.md`, `training_log.json` and
            `loss_curves.png`; while training, training checkpoints.
        sources: how many answers are of each source, for the model card; None: all the LLM's own.
        untrained: names what the untrained weights were made from, beside the recipe, so that a
            stopped run is recognised: made with another number of threads, the weights themselves
            differ in their last bits. None takes a hash of the weights.
        show_progress: show a progress bar.

    Returns:
        The model's folder and its losses.

    Raises:
        ValueError: if the data or the recipe do not fit together or do not fit the model, or the
            folder holds the training checkpoints or the finished model of another run.
        CheckpointError: if the folder holds the finished model or a training checkpoint of this
            run, damaged.
        NonFiniteError: if a loss is NaN or infinite.
        StorageError: if the folder cannot be written to, the disk is full, or another run is
            training into the folder.
    """
    folder = Path(output_folder)
    plan = plan_run(
        model, questions, answers, teacher_vectors, recipe, folder,
        untrained=untrained, show_progress=show_progress,
    )  # fmt: skip
    if not plan.arguments.should_save:
        return _fit(model, questions, teacher_vectors, recipe, folder, plan, sources)
    with storing(f"training checkpoints in {folder}", KEPT):
        folder.mkdir(parents=True, exist_ok=True)
    with written_by_one(folder, "another training run"):
        return _fit(model, questions, teacher_vectors, recipe, folder, plan, sources)


def _fit(
    model: LLM2VecGen,
    questions: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    folder: Path,
    plan: Plan,
    sources: Mapping[str, int] | None,
) -> FitResult:
    """Do what `fit` does, once its plan is made and no other run writes to the folder."""
    writes = plan.arguments.should_save
    checkpoints = TrainingCheckpoints(folder)
    if (finished := read_finished(folder, plan.run)) is not None:
        restore_trained(model, folder)
        if writes:
            checkpoints.discard()  # a kill right after the log was written leaves them
        return FitResult(folder, finished["seconds"], finished["log"], found=True)
    checkpoints.check(plan.run)
    if writes:
        checkpoints.begin(plan.run)
    if recipe.least_squares_rows and checkpoints.last is None:
        initialise_heads(model, questions, teacher_vectors, recipe)
    trainer = ResponseTokenTrainer(
        recipe=recipe,
        checkpoints=checkpoints,
        model=TrainedParts(model, recipe),
        args=plan.arguments,
        train_dataset=plan.batches,
    )
    with training_mode(model, recipe):
        result = _train(trainer, folder, checkpoints.last)
    if recipe.refit_rows:
        refit_alignment_head(model, questions, teacher_vectors, recipe)
    if writes:
        save_outputs(model, result, recipe, plan.pairs, plan.run, sources)
        checkpoints.discard()
    trainer.accelerator.wait_for_everyone()
    return result


def _train(trainer: ResponseTokenTrainer, folder: Path, last: Path | None) -> FitResult:
    """Take the steps that are left; raise `StorageError` if the live log cannot be written."""
    started = time.perf_counter()
    with storing(f"the log of the run in {folder}", KEPT):
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return FitResult(folder, time.perf_counter() - started, _losses_of(trainer))


def _losses_of(trainer: ResponseTokenTrainer) -> list[dict[str, float]]:
    """Return the entries of the log that hold losses, the last and shorter stretch included."""
    return [
        {name: entry[name] for name in LOGGED if name in entry}
        for entry in trainer.state.log_history
        if "reconstruction" in entry
    ]
