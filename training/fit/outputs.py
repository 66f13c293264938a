"""What a training run comes to: its result, and the files beside the trained model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm2vec_gen_rag.errors import StorageError
from llm2vec_gen_rag.files import storing, write_text
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe
from llm2vec_gen_rag.training.fit.curves import draw_curves
from llm2vec_gen_rag.training.fit.finished_run import write_finished
from llm2vec_gen_rag.training.fit.model_card import fit_card
from llm2vec_gen_rag.training.objective import TokenPair

CURVES_FILE = "loss_curves.png"
CARD_FILE = "README.md"


@dataclass(frozen=True)
class FitResult:
    """What a training run came to.

    Attributes:
        folder: the trained model, in the published format.
        seconds: how long the steps took, without those before a stop.
        log: one entry per `logging_steps`: the step, both losses, unweighted, as means since the
            entry before (or since the run resumed), the learning rate and the norm of the gradient.
        found: whether the folder held the finished model of this very run, and nothing was done.
    """

    folder: Path
    seconds: float
    log: list[dict[str, float]]
    found: bool = False

    @property
    def reconstruction(self) -> float:
        """Reconstruction loss, mean of the steps since the last log entry but one."""
        return self.log[-1]["reconstruction"]

    @property
    def alignment(self) -> float:
        """Alignment loss, mean of the same steps."""
        return self.log[-1]["alignment"]


def save_outputs(
    model: LLM2VecGen,
    result: FitResult,
    recipe: Recipe,
    pairs: Sequence[TokenPair],
    run: Mapping[str, Any],
    sources: Mapping[str, int] | None,
) -> None:
    """Write the model, its card, the loss curves and, once these are whole, the log.

    Args:
        model: the trained model.
        result: what the run came to.
        recipe: every choice of the run.
        pairs: what the model was trained on.
        run: as `run_identity` returns it.
        sources: how many answers are of each source; None: all the LLM's own.

    Raises:
        StorageError: if they cannot be written; the training checkpoint of the last step is kept.
    """
    log = {
        "recipe": dataclasses.asdict(recipe),
        "pairs": len(pairs),
        "seconds": round(result.seconds, 1),
        "log": result.log,
    }
    card = fit_card(result.folder.resolve().name, model, recipe, pairs, sources, result.log)
    what = f"the trained model in {result.folder}"
    kept = "the training checkpoint of the last step is kept"
    with storing(what, kept, RuntimeError, StorageError):
        model.save_pretrained(result.folder)
        draw_curves(result.log, result.folder / CURVES_FILE)
        write_text(result.folder / CARD_FILE, card)
        write_finished(result.folder, run, log)
