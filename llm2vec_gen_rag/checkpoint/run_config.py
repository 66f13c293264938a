"""What `run_config.yml` says of a checkpoint: its response tokens, how many are read, its dtype."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm2vec_gen_rag.backbone.device import parse_dtype
from llm2vec_gen_rag.checkpoint.plain_yaml import read_yaml
from llm2vec_gen_rag.errors import CheckpointError, UnsupportedCheckpointError
from llm2vec_gen_rag.files import read_json

logger = logging.getLogger(__name__)

_MODE = re.compile(r"last_(\d+)_tokens")
_DEFAULT_MODE = "last_10_tokens"


def read_run_config(folder: Path) -> dict[str, Any]:
    """Read `run_config.yml`, and check the values that are used.

    Args:
        folder: the checkpoint.

    Returns:
        The file as plain data.

    Raises:
        CheckpointError: if it is missing, half-written, or lists no response tokens or an unknown
            dtype.
    """
    path = folder / "run_config.yml"
    run_config = read_yaml(path)
    names = run_config.get("special_tokens")
    listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not listed or not names or len(set(names)) < len(names):
        raise CheckpointError(
            f"special_tokens in {path} is {names!r}; expected the list of distinct response "
            "tokens, such as ['<question1>', '<question2>']. Download the checkpoint again."
        )
    try:
        stated_dtype(run_config)
    except ValueError as error:
        raise CheckpointError(f"torch_dtype in {path}: {error}") from error
    return run_config


def stated_dtype(run_config: Mapping[str, Any]) -> torch.dtype | None:
    """Return the dtype that a checkpoint states; None leaves it to the base model."""
    stated = run_config.get("torch_dtype")
    return None if stated in (None, "auto") else parse_dtype(stated)


def read_compression_tokens(folder: Path, run_config: Mapping[str, Any]) -> int:
    """Read K, how many of the last states make the embedding.

    Args:
        folder: the checkpoint.
        run_config: its `run_config.yml`.

    Returns:
        K, from 1 to the number of response tokens.

    Raises:
        UnsupportedCheckpointError: if the checkpoint has a decoder of its own.
        CheckpointError: if no K is stated, or more than there are response tokens.
    """
    mode = _encoding_mode(folder, run_config)
    match = _MODE.fullmatch(mode) if isinstance(mode, str) else None
    if match is None:
        raise CheckpointError(
            f"encoding_mode of {folder} is {mode!r}; expected 'last_<K>_tokens', such as "
            f"{_DEFAULT_MODE!r}. Download the checkpoint again."
        )
    compression_tokens, response_tokens = int(match[1]), len(run_config["special_tokens"])
    if not 1 <= compression_tokens <= response_tokens:
        raise CheckpointError(
            f"{folder} reads the last {compression_tokens} of {response_tokens} response tokens; "
            f"expected 1 to {response_tokens}. encoding_mode and special_tokens come from "
            "different runs: fix encoding_mode, or download the checkpoint again."
        )
    return compression_tokens


def _encoding_mode(folder: Path, run_config: Mapping[str, Any]) -> object:
    """Return the mode; `encoder_decoder_config.json`, if there is one, overrides the run config."""
    mode: object = run_config.get("encoding_mode", _DEFAULT_MODE)
    path = folder / "encoder_decoder_config.json"
    if not path.exists():
        return mode
    config = read_json(path)
    if config.get("save_decoder"):
        raise UnsupportedCheckpointError(
            f"{path} says save_decoder: the decoder has weights of its own. Supported is the "
            "frozen base model as decoder (save_decoder: false), as in every published checkpoint."
        )
    overriding: object = config.get("encoding_mode", mode)
    if "encoding_mode" in run_config and overriding != mode:
        logger.warning(
            "encoding_mode is %r in %s and %r in run_config.yml; the former is used, as by the "
            "reference package. The files may come from different runs: download the checkpoint "
            "again, or make the two agree.",
            *(overriding, path, mode),
        )
    return overriding
