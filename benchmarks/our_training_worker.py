"""This package's training step as a worker: what the fit stage does with one batch."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch

from benchmarks.serving import peak_mib, seconds_of, serve
from llm2vec_gen_rag import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.training_mode import training_mode
from llm2vec_gen_rag.training.objective import (
    StepLosses,
    TokenPair,
    pair_losses,
    require_gradients,
)

LEARNING_RATE = 3e-4


class OurTrainingWorker:
    """One model in training and the batch that it trains on."""

    def __init__(self) -> None:
        """Begin without a model."""
        self.mode = ExitStack()

    def load(self, checkpoint: str) -> None:
        """Load a checkpoint, make its optimizer, and begin to train."""
        self.model = LLM2VecGen.from_pretrained(checkpoint)
        self.recipe = Recipe()
        # one for all steps, as the trainer has it
        self.mode.enter_context(training_mode(self.model, self.recipe))
        require_gradients(self.model)
        heads = torch.nn.ModuleList([self.model.reconstruction, self.model.alignment])
        self.trained = [self.model.response_tokens, *heads.parameters()]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, fused=True)

    def batch(
        self, questions: list[list[int]], answers: list[list[int]], teacher: list[list[float]]
    ) -> None:
        """Take the batch: token ids of questions and answers, and the teacher's vectors."""
        self.pairs = [
            TokenPair(np.array(question), np.array(answer))
            for question, answer in zip(questions, answers, strict=True)
        ]
        self.teacher = torch.tensor(teacher)

    def losses(self) -> dict[str, float]:
        """Return both losses, and leave the weights as they are."""
        with torch.no_grad():
            found = self._losses()
        return {
            "reconstruction": found.reconstruction.item(),
            "alignment": found.alignment.item(),
        }

    def steps(self, count: int) -> float:
        """Make some steps; return the seconds they took."""
        return seconds_of(lambda: [self._step() for _ in range(count)])

    def peak(self) -> float:
        """Return the most memory ever resident, in MiB."""
        return peak_mib()

    def _step(self) -> None:
        self._losses().total().backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _losses(self) -> StepLosses:
        return pair_losses(self.model, self.pairs, self.teacher)


if __name__ == "__main__":
    worker = OurTrainingWorker()
    serve(
        {
            "load": worker.load,
            "batch": worker.batch,
            "losses": worker.losses,
            "steps": worker.steps,
            "peak": worker.peak,
        }
    )
