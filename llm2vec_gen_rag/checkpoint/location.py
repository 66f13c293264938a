"""Find a checkpoint, and the base model it states: in a folder, bundled, or on the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from llm2vec_gen_rag.arguments import ALMANAC, SMOLLM2, is_path, quoted_bundled_models
from llm2vec_gen_rag.backbone.loading import BackboneOptions
from llm2vec_gen_rag.errors import CheckpointError, first_line

_PACKAGE = Path(__file__).parents[1]
_BUNDLED = {ALMANAC: _PACKAGE / "almanac" / "model", SMOLLM2: _PACKAGE / "smollm2"}

# the files of a checkpoint; a repository can hold many more
_FILES = ["*.json", "*.yml", "*.jinja", "*.txt", "*.model", "*_mlp", "encoder/*", "base/*"]


@dataclass(frozen=True)
class FoundCheckpoint:
    """Where a checkpoint is on this machine.

    Attributes:
        folder: its folder.
        revision: the commit it was downloaded at; None for a folder.
    """

    folder: Path
    revision: str | None


def find_checkpoint(name: str, revision: str | None, options: BackboneOptions) -> FoundCheckpoint:
    """Find a checkpoint, and download it if it is on the hub.

    Args:
        name: a bundled model's, a folder, or a hub id.
        revision: a branch, tag or commit on the hub.
        options: has the token, the cache folder and whether to stay off the network.

    Returns:
        Its folder and revision.

    Raises:
        CheckpointError: if it is in none of these places.
    """
    if name in _BUNDLED:
        return FoundCheckpoint(_bundled_folder(name), None)
    if os.path.isdir(name):  # False for a name that no folder can have, too
        return FoundCheckpoint(Path(name), None)
    if is_path(name):
        raise CheckpointError(_nowhere(name, "a path is a folder, and there is none"))
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=_FILES,
            token=options.token,
            cache_dir=options.cache_folder,
            local_files_only=options.local_files_only,
        )
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise CheckpointError(_nowhere(name, first_line(error))) from error
    return FoundCheckpoint(Path(folder), Path(folder).name)


def _bundled_folder(name: str) -> Path:
    """Return the folder of a bundled checkpoint; raise `CheckpointError` if it was not built in."""
    folder = _BUNDLED[name]
    if not (folder / "run_config.yml").is_file():
        raise CheckpointError(
            f"the bundled {name} is not in this installation (no {folder / 'run_config.yml'}). "
            f"Install the package again, or in a clone of the repository run: make {name}"
        )
    return folder


def _nowhere(name: str, reason: str) -> str:
    return (
        f"{name!r} is neither a folder here nor a checkpoint that the hub gave ({reason}). "
        "Expected a folder in the published format, a hub id such as "
        f"'McGill-NLP/LLM2Vec-Gen-Qwen3-06B', or a bundled model ({quoted_bundled_models()})."
    )


def find_base_model(folder: Path, stated: Any) -> str:
    """Find the base model that a checkpoint states.

    Args:
        folder: the checkpoint.
        stated: its `model_name_or_path`; a relative path such as "./base" is a folder inside the
            checkpoint.

    Returns:
        A hub id or a folder.

    Raises:
        CheckpointError: if the checkpoint states none, or one outside itself.
    """
    if not isinstance(stated, str) or not stated:
        raise CheckpointError(
            f"model_name_or_path in {folder / 'run_config.yml'} is {stated!r}; expected the base "
            "model. Pass base_model='<hub id or folder>' to LLM2VecGen.from_pretrained."
        )
    if not stated.startswith("."):
        return stated
    inside = (folder / stated).resolve()
    if not inside.is_relative_to(folder.resolve()):
        raise CheckpointError(
            f"model_name_or_path in {folder / 'run_config.yml'} is {stated!r}, which leaves the "
            "checkpoint's folder. Pass base_model='<hub id or folder>' to "
            "LLM2VecGen.from_pretrained."
        )
    return str(inside)
