"""The training loop, on `transformers.Trainer`: response tokens and two linear heads, nothing else.

Everything that does not change from step to step is done before the first: texts are tokenized,
every step's rows are planned, the teacher is a matrix. The frozen LLM is borrowed, never saved.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler

from llm2vec_gen_rag.backbone import cpu_has_bfloat16
from llm2vec_gen_rag.errors import NonFiniteError, require_extra
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.batches import PlannedBatches
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.objective import (
    TokenPair,
    check_pairs,
    check_teacher,
    mark_trained,
    pair_losses,
    tokenize_pairs,
)

require_extra("train", "accelerate")
from transformers import PrinterCallback, Trainer, TrainingArguments  # noqa: E402

LOG_FILE = "training_log.json"
LOGGED = ("step", "reconstruction", "alignment", "learning_rate", "grad_norm")


@dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        folder: where the trained model stands, in the published format.
        reconstruction: reconstruction loss, mean of the steps since the last log but one.
        alignment: alignment loss, mean of the same steps.
        seconds: how long the steps took.
        log: one entry per `logging_steps`: the step, both losses, unweighted, as means since the
            entry before, the learning rate and the norm of the gradient.
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

    Args:
        model: the model, as `LLM2VecGen.initialise` or `from_pretrained` gives it.
        questions: each with its instruction, as it will be encoded.
        answers: the LLM's answer to each question.
        teacher_vectors: (questions, model.dimension), the teacher's vectors of the answers.
        recipe: every choice of the run.
        output_folder: gets the model in the published format and `training_log.json`.
        show_progress: show a progress bar.

    Raises:
        ValueError: if the data or the recipe do not fit together or do not fit the model.
        NonFiniteError: if a loss is NaN or infinite.
    """
    _check_tokens(model, recipe)
    check_pairs(questions, answers)
    teacher = check_teacher(teacher_vectors, (len(questions), model.dimension))
    folder = Path(output_folder)
    pairs = tokenize_pairs(model, questions, answers, max_length=recipe.max_length)
    data = PlannedBatches(pairs, teacher, recipe)
    arguments = _arguments(model, recipe, folder, show_progress=show_progress)
    trainer = ResponseTokenTrainer(
        model=TrainedParts(model, recipe),
        args=arguments,
        train_dataset=data,
        data_collator=_only,
    )
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    with _fastest_attention(model):
        trainer.train()
    seconds = time.perf_counter() - started
    model.save_pretrained(folder)
    log = _losses_of(trainer)
    result = FitResult(folder, log[-1]["reconstruction"], log[-1]["alignment"], seconds, log)
    _write_log(result, recipe, pairs=len(pairs))
    return result


class TrainedParts(nn.Module):
    """What training changes, as a module: the only weights that are optimized and checkpointed."""

    accepts_loss_kwargs = False

    def __init__(self, model: LLM2VecGen, recipe: Recipe) -> None:
        super().__init__()
        self.response_tokens = model.response_tokens
        self.reconstruction = model.reconstruction
        self.alignment = model.alignment
        mark_trained(model)
        self._model = model  # no module, so the frozen LLM is no part of this one
        self._recipe = recipe

    def forward(
        self, pairs: Sequence[TokenPair], teacher: Tensor, share: float
    ) -> dict[str, Tensor]:
        """Return the losses of a micro-batch; their mean over the parts is the step's."""
        losses = pair_losses(self._model, pairs, teacher)
        losses = dataclasses.replace(losses, reconstruction=losses.reconstruction * share)
        total = losses.total(self._recipe.reconstruction_weight, self._recipe.alignment_weight)
        return {
            "loss": total,
            "reconstruction": losses.reconstruction.detach(),
            "alignment": losses.alignment.detach(),
        }


class ResponseTokenTrainer(Trainer):
    """A `Trainer` that reads the batches as planned and logs both losses."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._since_log: list[Tensor] = []

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        """Return the plan as it stands: it is already shuffled."""
        planned: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(planned)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a micro-batch and remember its two parts."""
        outputs = model(**inputs)
        self._since_log.append(torch.stack([outputs["reconstruction"], outputs["alignment"]]))
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add both losses, mean since the last log, and stop where one is not a number.

        Raises:
            NonFiniteError: if a loss is NaN or infinite.
        """
        if self._since_log:
            reconstruction, alignment = torch.stack(self._since_log).mean(dim=0).tolist()
            self._since_log.clear()
            logs |= {"reconstruction": reconstruction, "alignment": alignment}
            if not (math.isfinite(reconstruction) and math.isfinite(alignment)):
                raise NonFiniteError(
                    f"by step {self.state.global_step} the reconstruction loss was "
                    f"{reconstruction} and the alignment loss {alignment}; lower the learning "
                    "rate, and check the teacher vectors"
                )
        super().log(logs, start_time)


def _check_tokens(model: LLM2VecGen, recipe: Recipe) -> None:
    """Raise ValueError where the model has other token counts than the recipe."""
    found = (len(model.response_tokens), model.compression_tokens)
    expected = (recipe.response_tokens, recipe.compression_tokens)
    if found != expected:
        raise ValueError(
            f"the model has {found[0]} response and {found[1]} compression tokens, the recipe "
            f"{expected[0]} and {expected[1]}; make them equal in one of the two"
        )


def _arguments(
    model: LLM2VecGen, recipe: Recipe, folder: Path, *, show_progress: bool
) -> TrainingArguments:
    """Return the recipe in the words of `transformers`."""
    device = model.response_tokens.device
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.steps,
        per_device_train_batch_size=1,  # one planned micro-batch
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_gradient_norm,
        seed=recipe.seed,
        # autocast a float32 LLM where bfloat16 is native: 0.29 s a step in place of 0.46
        bf16=model.backbone.dtype == torch.float32 and _has_bfloat16(device),
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        logging_steps=recipe.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=not show_progress,
    )


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bfloat16()


@contextmanager
def _fastest_attention(model: LLM2VecGen) -> Iterator[None]:
    """Use eager attention on a CPU while training: 0.29 s a step against 0.47 at almanac size."""
    configured = model.backbone.config._attn_implementation
    if model.response_tokens.device.type == "cpu":
        model.backbone.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.backbone.set_attn_implementation(configured)


def _losses_of(trainer: ResponseTokenTrainer) -> list[dict[str, float]]:
    """Return both losses of every logged stretch of steps, the last and shorter one included."""
    return [
        {name: entry[name] for name in LOGGED if name in entry}
        for entry in trainer.state.log_history
        if "reconstruction" in entry
    ]


def _only(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Hand on the one micro-batch the loader asks for at a time."""
    (batch,) = batches
    return batch


def _write_log(result: FitResult, recipe: Recipe, *, pairs: int) -> None:
    """Write `training_log.json` beside the model."""
    content = {
        "recipe": dataclasses.asdict(recipe),
        "pairs": pairs,
        "seconds": round(result.seconds, 1),
        "log": result.log,
    }
    text = json.dumps(content, indent=2) + "\n"
    (result.folder / LOG_FILE).write_text(text, encoding="utf-8")
