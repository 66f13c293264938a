"""The fit stage: response tokens, two linear heads and, by choice, LoRA; nothing else changes.

Everything that does not change from step to step is done before the first: texts are tokenized,
every step's rows are planned, the teacher is a matrix. The frozen LLM is borrowed, never saved.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.batches import PlannedBatches
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.curves import draw_curves
from llm2vec_gen_rag.training.fit_card import fit_card
from llm2vec_gen_rag.training.loop import ResponseTokenTrainer, TrainedParts
from llm2vec_gen_rag.training.objective import TokenPair, check_pairs, check_teacher, tokenize_pairs
from llm2vec_gen_rag.training.run_checkpoints import RunCheckpoints, run_identity, storing
from llm2vec_gen_rag.training.trainer_arguments import trainer_arguments, training_mode

LOG_FILE = "training_log.json"
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
    """

    folder: Path
    reconstruction: float
    alignment: float
    seconds: float
    log: list[dict[str, float]]


def fit(
    model: LLM2VecGen,
    questions: Sequence[str],
    answers: Sequence[str],
    teacher_vectors: npt.NDArray[np.floating],
    recipe: Recipe,
    output_folder: str | Path,
    *,
    show_progress: bool = False,
) -> FitResult:
    """Train the response tokens and both heads of a model in place, and save it.

    The same call after a stop goes on from the last checkpoint, to the weights that it would have
    come to without the stop. Started by `accelerate launch`, every process makes this call with its
    own copy of the model, and they share each step.

    Args:
        model: the model, as `LLM2VecGen.initialise` or `from_pretrained` gives it; untrained again
            where a run goes on.
        questions: each with its instruction, as it will be encoded.
        answers: the LLM's answer to each question.
        teacher_vectors: (questions, model.dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        output_folder: gets the model in the published format, `README.md`, `training_log.json` and
            `loss_curves.png`; while training, checkpoints.
        show_progress: show a progress bar.

    Raises:
        ValueError: if the data or the recipe do not fit together or do not fit the model, or the
            folder holds the checkpoints of another run.
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
    run = run_identity(model, pairs, teacher_vectors, recipe)
    checkpoints.check(run)
    if arguments.should_save:
        checkpoints.begin(run)
    trainer = ResponseTokenTrainer(
        recipe=recipe,
        checkpoints=checkpoints,
        model=TrainedParts(model, recipe),
        args=arguments,
        train_dataset=data,
    )
    last = checkpoints.last
    started = time.perf_counter()
    with training_mode(model, recipe):
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = time.perf_counter() - started
    log = _losses_of(trainer)
    result = FitResult(folder, log[-1]["reconstruction"], log[-1]["alignment"], seconds, log)
    if arguments.should_save:
        _save(model, result, recipe, pairs)
        checkpoints.discard()
    trainer.accelerator.wait_for_everyone()
    return result


def _check_model(model: LLM2VecGen, recipe: Recipe) -> None:
    """Raise ValueError where the model is of other sizes than the recipe."""
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


def _save(model: LLM2VecGen, result: FitResult, recipe: Recipe, pairs: Sequence[TokenPair]) -> None:
    """Write the model, its card, the log and the curves.

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
    with storing(f"the trained model in {result.folder}"):
        model.save_pretrained(result.folder)
        draw_curves(result.log, result.folder / CURVES_FILE)
        (result.folder / CARD_FILE).write_text(card, encoding="utf-8")
        text = json.dumps(log, indent=2) + "\n"
        (result.folder / LOG_FILE).write_text(text, encoding="utf-8")
