"""A run that came to its end: what it leaves for the same call made again.

The log beside the model is the last file of a run to be written. It says what the run was of, so
that the same run is found finished and nothing is done, and another one does not write over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm2vec_gen_rag.checkpoint.format import read_checkpoint
from llm2vec_gen_rag.files import read_json, write_json
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.fit.run_checkpoints import difference

LOG_FILE = "training_log.json"


def read_finished(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the log of a run that came to its end in a folder; None where none did.

    Args:
        folder: where the trained model stands.
        run: what decides the result of the run, as plain data.

    Raises:
        ValueError: if the model in the folder is of another run; what differs is named.
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
            f"or delete {folder} to train in its place."
        )
    return log


def write_finished(folder: Path, run: Mapping[str, Any], log: Mapping[str, Any]) -> None:
    """Write the log of a run whose model is whole: from here on, the run is finished."""
    write_json(folder / LOG_FILE, {**log, "run": dict(run)})


@torch.no_grad()
def restore_trained(model: LLM2VecGen, folder: Path) -> None:
    """Give a model of the same run the trained weights that stand in a folder.

    Raises:
        CheckpointError: if the trained model is not whole any more.
    """
    trained = read_checkpoint(folder)
    model.response_tokens.copy_(trained.adapter.response_tokens)
    model.reconstruction.load_state_dict(trained.reconstruction.state_dict())
    model.alignment.load_state_dict(trained.alignment.state_dict())
    if model.adapter is not None:
        for path, update in model.adapter.updates.items():
            update.down.copy_(trained.adapter.updates[path].down)
            update.up.copy_(trained.adapter.updates[path].up)
