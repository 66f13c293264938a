"""What `transformers.Trainer` trains here, and what this project overrides in it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler

from llm2vec_gen_rag.errors import NonFiniteError, require_extra
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.training_checkpoints import TrainingCheckpoints
from llm2vec_gen_rag.training.objective import TokenPair, pair_losses, require_gradients

require_extra("train", "accelerate")
from transformers import PrinterCallback, Trainer  # noqa: E402

HEADS = ("reconstruction.", "alignment.")  # of the names of the trained parts


class TrainedParts(nn.Module):
    """What training changes, as a module: all that is optimized and in a training checkpoint."""

    accepts_loss_kwargs = False

    def __init__(self, model: LLM2VecGen, recipe: Recipe) -> None:
        super().__init__()
        self.response_tokens = model.response_tokens
        self.reconstruction = model.reconstruction
        self.alignment = model.alignment
        if model.adapter is not None:
            self.low_rank = nn.ParameterList(model.adapter.parameters())
        require_gradients(model)
        self._model = model  # not an nn.Module, so the frozen LLM's weights are not in this one
        self._recipe = recipe

    def forward(
        self, pairs: Sequence[TokenPair], teacher: Tensor, share: float
    ) -> dict[str, Tensor]:
        """Return the losses of a micro-batch; their mean over all micro-batches is the step's."""
        losses = pair_losses(
            self._model,
            pairs,
            teacher,
            reconstruct=self._recipe.reconstruction_weight > 0,
            gradient_checkpointing=self._recipe.gradient_checkpointing,
        )
        losses = dataclasses.replace(losses, reconstruction=losses.reconstruction * share)
        total = losses.total(self._recipe.reconstruction_weight, self._recipe.alignment_weight)
        return {
            "loss": total,
            "reconstruction": losses.reconstruction.detach(),
            "alignment": losses.alignment.detach(),
        }


class ResponseTokenTrainer(Trainer):
    """A `Trainer` that reads planned batches, logs both losses and saves whole or not at all."""

    def __init__(
        self,
        *,
        model: TrainedParts,
        recipe: Recipe,
        checkpoints: TrainingCheckpoints,
        **arguments: Any,
    ) -> None:
        super().__init__(model=model, data_collator=_single, **arguments)
        self.remove_callback(PrinterCallback)
        self._schedule_steps = recipe.schedule_steps or recipe.steps
        self._recipe = recipe
        self._checkpoints = checkpoints
        self._trained = list(model.parameters())
        self._since_log: list[Tensor] = []

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        """Return a sampler that keeps the plan's order, which is shuffled already."""
        planned: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(planned)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer, in which the heads may have a learning rate of their own."""
        if self.optimizer is None and self._recipe.head_learning_rate:
            trained: nn.Module = self.model if model is None else model  # type: ignore[assignment]
            named = list(trained.named_parameters())
            heads = [weight for name, weight in named if name.startswith(HEADS)]
            others = [weight for name, weight in named if not name.startswith(HEADS)]
            groups: list[dict[str, Any]] = [
                {"params": others},
                {"params": heads, "lr": self._recipe.head_learning_rate},
            ]
            self.optimizer = torch.optim.AdamW(
                groups, lr=self._recipe.learning_rate, weight_decay=self._recipe.weight_decay
            )
        optimizer: torch.optim.Optimizer = self.optimizer or super().create_optimizer()
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """Return the learning rate's schedule, which may be longer than the run."""
        return super().create_scheduler(self._schedule_steps, optimizer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a micro-batch and keep its two parts for the log."""
        outputs = model(**inputs)
        self._since_log.append(torch.stack([outputs["reconstruction"], outputs["alignment"]]))
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add both losses, means since the last log; raise `NonFiniteError` unless finite."""
        if self._since_log:
            own = torch.stack(self._since_log).mean(dim=0)
            means: Tensor = self.accelerator.reduce(own, reduction="mean")
            reconstruction, alignment = means.tolist()
            self._since_log.clear()
            logs |= {"reconstruction": reconstruction, "alignment": alignment}
            if not (math.isfinite(reconstruction) and math.isfinite(alignment)):
                raise NonFiniteError(
                    f"by step {self.state.global_step} the reconstruction loss was "
                    f"{reconstruction} and the alignment loss {alignment}; lower the learning "
                    "rate, and check the teacher vectors"
                )
        super().log(logs, start_time)

    def _get_output_dir(self, trial: Any) -> str:
        """Return where `Trainer` writes a training checkpoint before it gets its name."""
        return str(self._checkpoints.writing)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a training checkpoint, which counts once every process has written its part.

        Raises:
            NonFiniteError: if a trained weight is NaN or infinite.
            StorageError: if it cannot be written.
        """
        if not all(bool(weight.isfinite().all()) for weight in self._trained):
            raise NonFiniteError(
                f"after step {self.state.global_step} the trained weights hold NaN or infinity; "
                "lower the learning rate, and check the teacher vectors"
            )
        if not self.is_world_process_zero():
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
        else:
            with self._checkpoints.saving(self.state.global_step):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
        self.accelerator.wait_for_everyone()


def _single(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one micro-batch that the loader asks for at a time."""
    (batch,) = batches
    return batch
