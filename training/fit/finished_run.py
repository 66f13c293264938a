"""A finished run: found again by the same call, protected from any other.

The log beside the model is the last file that a run writes. It says which run it is of, so that the
same run does nothing when it is started again, and another run does not overwrite the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm2vec_gen_rag.checkpoint.format import read_checkpoint
from llm2vec_gen_rag.files import read_json, write_json
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.fit.run_identity import difference

LOG_FILE = "training_log.json"


def read_finished(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the log of the finished run in a folder.

    Args:
        folder: of the trained model.
        run: as `run_identity` returns it.

    Returns:
        The log; None if no run has finished in the folder.

    Raises:
        ValueError: if the model in the folder is of another run; the error says what differs.
        CheckpointError: if the log cannot be read.
    """
    path = folder / LOG_FILE
    if not path.is_file():
        return None
    log = read_json(path)
    if "run" not in log:
        return None
    if (differs := difference(log["run"], run)) is not None:
        raise ValueError(
            f"{folder} holds the finished model of a run with {differs}. Choose another folder, "
            f"or delete {folder} to train into it."
        )
    return log


def write_finished(folder: Path, run: Mapping[str, Any], log: Mapping[str, Any]) -> None:
    """Write the log of a run whose model is whole, which makes it a finished run."""
    write_json(folder / LOG_FILE, {**log, "run": dict(run)})


@torch.no_grad()
def restore_trained(model: LLM2VecGen, folder: Path) -> None:
    """Copy the trained weights in a folder into an untrained model of the same run.

    Args:
        model: the model; changed in place.
        folder: of the trained model.

    Raises:
        CheckpointError: if the trained model is damaged.
    """
    trained = read_checkpoint(folder)
    model.response_tokens.copy_(trained.adapter.response_tokens)
    model.reconstruction.load_state_dict(trained.reconstruction.state_dict())
    model.alignment.load_state_dict(trained.alignment.state_dict())
    if model.adapter is not None:
        for path, update in model.adapter.updates.items():
            update.down.copy_(trained.adapter.updates[path].down)
            update.up.copy_(trained.adapter.updates[path].up)
