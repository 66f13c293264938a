"""The published on-disk format: find it, read it whole and checked, write it.

run_config.yml                      base model, response tokens, how many of them are read
encoder_decoder_config.json         optional; says the latter again
tokenizer files                     the response tokens are added tokens
encoder/                            config, and the response tokens as a PEFT adapter
reconstruction_mlp, alignment_mlp   the projection heads
prompts.json                        optional, this library's own; see `prompts`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.loading import parse_dtype
from llm2vec_gen_rag.checkpoint.adapter import (
    AdapterLayout,
    AdapterWeights,
    read_adapter,
    write_adapter,
)
from llm2vec_gen_rag.checkpoint.heads import read_projection, write_projection
from llm2vec_gen_rag.checkpoint.plain_yaml import read_yaml, write_yaml
from llm2vec_gen_rag.checkpoint.tokenizer_files import (
    load_tokenizer,
    response_token_ids,
    save_tokenizer,
)
from llm2vec_gen_rag.errors import CheckpointError, SizeMismatchError, UnsupportedCheckpointError
from llm2vec_gen_rag.files import read_json, write_json
from llm2vec_gen_rag.prompts import PROMPTS_FILE, Prompts

RECONSTRUCTION_FILE = "reconstruction_mlp"
ALIGNMENT_FILE = "alignment_mlp"
_MODE = re.compile(r"last_(\d+)_tokens")
_DEFAULT_MODE = "last_10_tokens"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it stands on disk, apart from the base model.

    Attributes:
        run_config: `run_config.yml` as plain data.
        encoder_config: `encoder/config.json`.
        adapter_layout: how `encoder/` lays out its tensors.
        adapter: the response tokens and low-rank updates.
        reconstruction: hidden -> hidden, float32.
        alignment: hidden -> dimension, float32.
        compression_tokens: K, how many of the last states are read.
        tokenizer: with the response tokens as added tokens.
        prompts: the instructions that it was trained with.
        head_dtypes: in which to store the two heads.
    """

    run_config: Mapping[str, Any]
    encoder_config: Mapping[str, Any]
    adapter_layout: AdapterLayout
    adapter: AdapterWeights
    reconstruction: nn.Linear
    alignment: nn.Linear
    compression_tokens: int
    tokenizer: PreTrainedTokenizerBase
    prompts: Prompts
    head_dtypes: tuple[torch.dtype, torch.dtype]

    @property
    def response_token_names(self) -> list[str]:
        """The names of the response tokens, in the order in which they are read."""
        return list(self.run_config["special_tokens"])

    @property
    def stated_dtype(self) -> torch.dtype | None:
        """The dtype that the checkpoint states; None leaves it to the base model."""
        return _stated_dtype(self.run_config)


def read_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Read a folder in the published format, and check its parts against each other.

    Args:
        folder: the folder.
        trust_remote_code: whether code beside the tokenizer may run.

    Raises:
        CheckpointError: if a file is missing, half-written, unsafe, of another kind, holds NaN, or
            disagrees with another; the message names the file, and what to do.
    """
    path = folder / "run_config.yml"
    run_config = read_yaml(path)
    names = _response_token_names(path, run_config)
    _require_dtype(path, run_config)
    compression_tokens = _compression_tokens(folder, run_config)
    if not 1 <= compression_tokens <= len(names):
        raise CheckpointError(
            f"{folder} reads the last {compression_tokens} of {len(names)} response tokens; "
            f"expected 1 to {len(names)}. encoding_mode and special_tokens come from different "
            "runs: mend encoding_mode, or download the checkpoint again."
        )
    encoder_config = read_json(folder / "encoder" / "config.json")
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    token_ids = response_token_ids(tokenizer, names, folder)
    adapter_layout, adapter = read_adapter(folder / "encoder", token_ids)
    heads = [read_projection(folder / name) for name in (RECONSTRUCTION_FILE, ALIGNMENT_FILE)]
    checkpoint = Checkpoint(
        run_config=run_config,
        encoder_config=encoder_config,
        adapter_layout=adapter_layout,
        adapter=adapter,
        reconstruction=heads[0].float(),
        alignment=heads[1].float(),
        compression_tokens=compression_tokens,
        tokenizer=tokenizer,
        prompts=Prompts.from_folder(folder),
        head_dtypes=(heads[0].weight.dtype, heads[1].weight.dtype),
    )
    _require_sizes(checkpoint, adapter.response_tokens.shape[1], f"the response tokens in {folder}")
    return checkpoint


def write_checkpoint(folder: Path, checkpoint: Checkpoint, base_model: str) -> None:
    """Write a folder in the published format.

    Args:
        folder: where to; made if need be.
        checkpoint: what to write.
        base_model: where its base model is: a hub id or a folder.

    Raises:
        CheckpointError: if a file to be copied from where the checkpoint was read is gone.
    """
    base = _base_to_record(folder, base_model)
    layout = checkpoint.adapter_layout
    layout = replace(layout, config={**layout.config, "base_model_name_or_path": base})
    write_adapter(folder / "encoder", layout, checkpoint.adapter)
    write_json(folder / "encoder" / "config.json", dict(checkpoint.encoder_config))
    dtypes = checkpoint.head_dtypes
    write_projection(folder / RECONSTRUCTION_FILE, checkpoint.reconstruction, dtypes[0])
    write_projection(folder / ALIGNMENT_FILE, checkpoint.alignment, dtypes[1])
    mode = f"last_{checkpoint.compression_tokens}_tokens"
    config = {"encoding_mode": mode, "save_decoder": False}
    write_json(folder / "encoder_decoder_config.json", config)
    run_config = {**checkpoint.run_config, "model_name_or_path": base, "encoding_mode": mode}
    write_yaml(folder / "run_config.yml", run_config)
    save_tokenizer(checkpoint.tokenizer, folder, checkpoint.response_token_names)
    if checkpoint.prompts != Prompts() or (folder / PROMPTS_FILE).exists():
        checkpoint.prompts.save(folder)


def require_fit(checkpoint: Checkpoint, base_model: str, hidden: int, vocabulary: int) -> None:
    """Raise `SizeMismatchError` unless the checkpoint belongs on a base model of these sizes.

    Args:
        checkpoint: what was read.
        base_model: the base model's name, for the message.
        hidden: its hidden size.
        vocabulary: rows of its input embedding.
    """
    _require_sizes(checkpoint, hidden, f"the base model {base_model!r}")
    # the response tokens' own ids may lie beyond: they are never looked up
    text_tokens = checkpoint.tokenizer.vocab_size
    if text_tokens > vocabulary:
        raise SizeMismatchError(
            f"the checkpoint's tokenizer has {text_tokens} text tokens and the base model "
            f"{base_model!r} has embeddings for {vocabulary}. Pass base_model= with the LLM that "
            "the checkpoint was trained on."
        )


def _base_to_record(folder: Path, base_model: str) -> str:
    """Return how a checkpoint in this folder names its base model, so that it is found again."""
    path = Path(base_model)
    if not path.is_dir():
        return base_model
    if path.resolve().is_relative_to(folder.resolve()):
        return f"./{path.resolve().relative_to(folder.resolve()).as_posix()}"
    return str(path.resolve())


def _require_sizes(checkpoint: Checkpoint, hidden: int, whose: str) -> None:
    """Raise unless response tokens and heads are of this hidden size."""
    sizes = {
        "the response tokens": checkpoint.adapter.response_tokens.shape[1],
        f"the input of {RECONSTRUCTION_FILE}": checkpoint.reconstruction.in_features,
        f"the output of {RECONSTRUCTION_FILE}": checkpoint.reconstruction.out_features,
        f"the input of {ALIGNMENT_FILE}": checkpoint.alignment.in_features,
    }
    for part, size in sizes.items():
        if size != hidden:
            raise SizeMismatchError(
                f"{part} has size {size} and {whose} has hidden size {hidden}; expected the same. "
                "Pass base_model= with the LLM that the checkpoint was trained on, or download the "
                "checkpoint again."
            )


def _response_token_names(path: Path, run_config: Mapping[str, Any]) -> list[str]:
    names = run_config.get("special_tokens")
    listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not listed or not names or len(set(names)) < len(names):
        raise CheckpointError(
            f"special_tokens in {path} is {names!r}; expected the list of distinct response "
            "tokens, such as ['<question1>', '<question2>']. Download the checkpoint again."
        )
    return list(names)


def _stated_dtype(run_config: Mapping[str, Any]) -> torch.dtype | None:
    stated = run_config.get("torch_dtype")
    return None if stated in (None, "auto") else parse_dtype(stated)


def _require_dtype(path: Path, run_config: Mapping[str, Any]) -> None:
    try:
        _stated_dtype(run_config)
    except ValueError as error:
        raise CheckpointError(f"torch_dtype in {path}: {error}") from error


def _compression_tokens(folder: Path, run_config: Mapping[str, Any]) -> int:
    """Return K; `encoder_decoder_config.json`, where there is one, has the last word."""
    mode = run_config.get("encoding_mode", _DEFAULT_MODE)
    path = folder / "encoder_decoder_config.json"
    if path.exists():
        config = read_json(path)
        mode = config.get("encoding_mode", mode)
        if config.get("save_decoder"):
            raise UnsupportedCheckpointError(
                f"{path} says save_decoder: the decoder has weights of its own. Supported is the "
                "frozen base model as decoder (save_decoder: false), as in every published "
                "checkpoint."
            )
    match = _MODE.fullmatch(mode) if isinstance(mode, str) else None
    if match is None:
        raise CheckpointError(
            f"encoding_mode of {folder} is {mode!r}; expected 'last_<K>_tokens', such as "
            f"{_DEFAULT_MODE!r}. Download the checkpoint again."
        )
    return int(match[1])
