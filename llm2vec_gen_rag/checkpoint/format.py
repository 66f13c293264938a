"""The published format on disk: read it whole and checked, write it.

run_config.yml                      base model, response tokens, how many of them are read
encoder_decoder_config.json         optional; repeats how many of them are read
tokenizer files                     the response tokens are added tokens
encoder/                            config, and the response tokens as a PEFT adapter
reconstruction_mlp, alignment_mlp   the projection heads
prompts.json                        optional, this library's own; see `prompts`
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.checkpoint.adapter import (
    AdapterLayout,
    AdapterWeights,
    read_adapter,
    write_adapter,
)
from llm2vec_gen_rag.checkpoint.heads import (
    ALIGNMENT_FILE,
    RECONSTRUCTION_FILE,
    read_projection,
    write_projection,
)
from llm2vec_gen_rag.checkpoint.plain_yaml import write_yaml
from llm2vec_gen_rag.checkpoint.run_config import (
    read_compression_tokens,
    read_run_config,
    stated_dtype,
)
from llm2vec_gen_rag.checkpoint.tokenizer_files import (
    load_tokenizer,
    response_token_ids,
    save_tokenizer,
)
from llm2vec_gen_rag.errors import SizeMismatchError
from llm2vec_gen_rag.files import read_json, replacing_files, storing, write_json
from llm2vec_gen_rag.prompts import PROMPTS_FILE, Prompts

logger = logging.getLogger(__name__)

# says in run_config.yml that the instructions are in a file, for one that was left behind
_PROMPTS_KEY = "prompts"


@dataclass(frozen=True)
class Checkpoint:
    """All that a checkpoint holds on disk, without the base model.

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
        return stated_dtype(self.run_config)


def read_checkpoint(folder: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Read a folder in the published format, and check its parts against each other.

    Args:
        folder: the folder.
        trust_remote_code: whether code in the folder may run to read the tokenizer.

    Returns:
        The checkpoint, on the CPU.

    Raises:
        CheckpointError: if a file is missing, half-written, unsafe, of another kind, holds NaN, or
            disagrees with another; the message says which file, and what to do.
    """
    run_config = read_run_config(folder)
    compression_tokens = read_compression_tokens(folder, run_config)
    encoder_config = read_json(folder / "encoder" / "config.json")
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    token_ids = response_token_ids(tokenizer, run_config["special_tokens"], folder)
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
        prompts=_read_prompts(folder, run_config),
        head_dtypes=(heads[0].weight.dtype, heads[1].weight.dtype),
    )
    _require_sizes(checkpoint, adapter.response_tokens.shape[1], f"the response tokens in {folder}")
    return checkpoint


def write_checkpoint(folder: Path, checkpoint: Checkpoint, base_model: str) -> None:
    """Write a folder in the published format: all files of it, or none.

    Args:
        folder: where to; created if it does not exist.
        checkpoint: what to write.
        base_model: where its base model is: a hub id, a folder or a GGUF file.

    Raises:
        CheckpointError: if a file to be copied from where the checkpoint was read is gone.
        StorageError: if it cannot be written; a checkpoint that was there is whole.
    """
    base = _base_to_record(folder, base_model)
    with_prompts = checkpoint.prompts != Prompts() or os.path.exists(folder / PROMPTS_FILE)
    kept = "a checkpoint that was there is whole"
    # torch raises RuntimeError when the disk is full
    with (
        storing(f"the checkpoint {folder}", kept, RuntimeError),
        replacing_files(folder) as written,
    ):
        _write_files(written, checkpoint, base, with_prompts=with_prompts)


def _read_prompts(folder: Path, run_config: Mapping[str, Any]) -> Prompts:
    """Return the prompts; warn if their file is gone from a checkpoint that says it has one."""
    if run_config.get(_PROMPTS_KEY) and not (folder / PROMPTS_FILE).is_file():
        logger.warning(
            "%s is missing, and run_config.yml says that this checkpoint has instructions of its "
            "own; the published ones are used, for which it was not trained. Copy the file from "
            "where the checkpoint is from, or download the checkpoint again.",
            folder / PROMPTS_FILE,
        )
    return Prompts.from_folder(folder)


def _write_files(folder: Path, checkpoint: Checkpoint, base: str, *, with_prompts: bool) -> None:
    """Write all files, with `prompts.json` or without."""
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
    run_config.pop(_PROMPTS_KEY, None)
    if with_prompts:
        run_config[_PROMPTS_KEY] = PROMPTS_FILE
        checkpoint.prompts.save(folder)
    write_yaml(folder / "run_config.yml", run_config)
    save_tokenizer(checkpoint.tokenizer, folder, checkpoint.response_token_names)


def require_fit(checkpoint: Checkpoint, base_model: str, hidden: int, vocabulary: int) -> None:
    """Raise an error unless the checkpoint belongs on a base model of these sizes.

    Args:
        checkpoint: what was read.
        base_model: the base model's name, for the message.
        hidden: its hidden size.
        vocabulary: rows of its input embedding.

    Raises:
        SizeMismatchError: if a size disagrees.
    """
    _require_sizes(checkpoint, hidden, f"the base model {base_model!r}")
    # the response tokens' own ids may be larger: they are never looked up
    text_tokens = checkpoint.tokenizer.vocab_size
    if text_tokens > vocabulary:
        raise SizeMismatchError(
            f"the checkpoint's tokenizer has {text_tokens} text tokens and the base model "
            f"{base_model!r} has embeddings for {vocabulary}. Pass base_model= with the LLM that "
            "the checkpoint was trained on."
        )


def _base_to_record(folder: Path, base_model: str) -> str:
    """Return what a checkpoint in this folder records as its base model, to be found again."""
    path = Path(base_model)
    if not path.exists():
        return base_model
    if path.resolve().is_relative_to(folder.resolve()):
        return f"./{path.resolve().relative_to(folder.resolve()).as_posix()}"
    return str(path.resolve())


def _require_sizes(checkpoint: Checkpoint, hidden: int, whose: str) -> None:
    """Raise SizeMismatchError unless response tokens and heads are of this hidden size."""
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
