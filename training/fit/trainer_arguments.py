"""A recipe as `TrainingArguments`, and the device of a run."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import TrainingArguments

from llm2vec_gen_rag.backbone.device import cpu_has_bfloat16
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe

logger = logging.getLogger(__name__)


class OneDeviceArguments(TrainingArguments):
    """Arguments of a process that trains on one device; several devices need several processes."""

    @property
    def n_gpu(self) -> int:
        """How many GPUs this process trains on; a `Trainer` would use all that it sees."""
        return min(int(super().n_gpu), 1)


def trainer_arguments(
    model: LLM2VecGen, recipe: Recipe, folder: Path, *, show_progress: bool
) -> OneDeviceArguments:
    """Return the arguments of a run.

    Args:
        model: the model in training.
        recipe: every choice of the run.
        folder: gets what TensorBoard reads, under `runs/`.
        show_progress: show a progress bar.

    Returns:
        Arguments of a `Trainer` whose batches are planned micro-batches.

    Raises:
        ValueError: if the model is on another device than this process trains on, or what
            `report_to` names is not installed.
    """
    device = model.device
    arguments = OneDeviceArguments(
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
        # autocast a float32 LLM where bfloat16 is native: 0.29 s a step instead of 0.46
        bf16=model.backbone.dtype == torch.float32 and _has_bfloat16(device),
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        logging_steps=recipe.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.save_steps,
        report_to=_reports(recipe),
        disable_tqdm=not show_progress,
    )
    _check_device(device, arguments.device)
    return arguments


def _reports(recipe: Recipe) -> str:
    """Return what gets the log; only a missing TensorBoard does without, with a warning."""
    name: str = recipe.report_to
    if name == "none" or find_spec(name) is not None:
        return name
    if recipe.report_to == "tensorboard":
        logger.warning(
            "TensorBoard is not installed, so the losses go to training_log.json and "
            "loss_curves.png alone. For live curves run: pip install tensorboard"
        )
        return "none"
    raise ValueError(
        f"report_to is {recipe.report_to!r}, which is not installed. Run: pip install "
        f"{recipe.report_to}, or set report_to to 'tensorboard' or 'none'."
    )


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether the device computes bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_has_bfloat16()


def _check_device(found: torch.device, expected: torch.device) -> None:
    """Raise ValueError if the model is on another device than this process trains on."""
    if (found.type, found.index or 0) != (expected.type, expected.index or 0):
        raise ValueError(
            f"the model is on {found} and this process trains on {expected}; load the model with "
            f"device={str(expected)!r}, or choose the device with CUDA_VISIBLE_DEVICES"
        )
