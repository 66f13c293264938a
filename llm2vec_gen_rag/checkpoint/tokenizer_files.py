"""The tokenizer files of a checkpoint, in which the response tokens are added tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.pretrained_tokenizer import load_pretrained_tokenizer
from llm2vec_gen_rag.errors import CheckpointError
from llm2vec_gen_rag.files import read_json, write_json

_SPECIAL_NAMES = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"
)  # fmt: skip


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint.

    Args:
        folder: the checkpoint.
        trust_remote_code: whether code in the folder may run.

    Returns:
        The tokenizer, with the response tokens as added tokens.

    Raises:
        CheckpointError: if its files are missing or broken.
    """
    # transformers would continue without either, and fail far from the cause
    for name in ("tokenizer.json", "tokenizer_config.json"):
        read_json(folder / name)
    try:
        return load_pretrained_tokenizer(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(_broken(folder, error)) from error
    except Exception as error:
        # on a broken file the tokenizers library raises Exception itself, not a subclass
        if type(error) is not Exception:
            raise
        raise CheckpointError(_broken(folder, error)) from error


def response_token_ids(
    tokenizer: PreTrainedTokenizerBase, names: Sequence[str], folder: Path
) -> list[int]:
    """Look up the id of each response token.

    Args:
        tokenizer: the checkpoint's.
        names: the response tokens.
        folder: the checkpoint, for the message.

    Returns:
        One id per name.

    Raises:
        CheckpointError: if the tokenizer lacks a response token.
    """
    added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
    missing = [name for name in names if name not in added]
    if missing:
        raise CheckpointError(
            f"the tokenizer in {folder} has no added token {missing[0]!r}; expected all "
            f"{len(names)} special_tokens of run_config.yml. Its files come from different runs: "
            "download or save the checkpoint again."
        )
    return [added[name] for name in names]


def add_response_tokens(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> list[int]:
    """Add response tokens to a tokenizer.

    Args:
        tokenizer: a base model's own; changed in place.
        names: the response tokens.

    Returns:
        One id per name.

    Raises:
        ValueError: if the tokenizer already has one of the response tokens.
    """
    tokens = [AddedToken(name, special=True, normalized=False) for name in names]
    if tokenizer.add_tokens(tokens, special_tokens=True) != len(names):
        raise ValueError(
            f"the tokenizer already holds some of {names[0]} to {names[-1]}; expected the base "
            "model's own tokenizer. Load it from the base model."
        )
    added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
    return [added[name] for name in names]


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, names: Sequence[str]) -> None:
    """Write the tokenizer files in the layout of transformers 4.

    Version 5 renames `additional_special_tokens`, omits `special_tokens_map.json`, and records a
    class that version 4 lacks. Both versions and the reference package read the older layout. A
    class of transformers' own is recorded as the one that every version reads as `tokenizer.json`
    says; others drop parts of it.

    Args:
        tokenizer: with the response tokens as added tokens.
        folder: where to.
        names: the response tokens.

    Raises:
        OSError: if a file cannot be written.
    """
    try:
        tokenizer.save_pretrained(str(folder))
    except Exception as error:
        # on a full disk the tokenizers library raises Exception itself, not a subclass
        if type(error) is not Exception:
            raise
        raise OSError(f"{folder}: {error}") from error
    path = folder / "tokenizer_config.json"
    config = read_json(path)
    for key in ("backend", "is_local", "local_files_only"):
        config.pop(key, None)
    if type(tokenizer).__module__.startswith("transformers."):
        _record_plain_class(tokenizer, config)
    config |= {
        "additional_special_tokens": list(names),
        "extra_special_tokens": {},
        "added_tokens_decoder": {
            str(index): {**_entry(token), "special": token.special}
            for index, token in sorted(tokenizer.added_tokens_decoder.items())
        },
    }
    write_json(path, dict(sorted(config.items())))
    special = {
        n: str(token) for n in _SPECIAL_NAMES if (token := getattr(tokenizer, n)) is not None
    }
    entries = [_entry(AddedToken(name, normalized=False)) for name in names]
    write_json(
        folder / "special_tokens_map.json", {"additional_special_tokens": entries, **special}
    )


def _record_plain_class(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> None:
    """Record the class that reads `tokenizer.json` as it is, without what would change that."""
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("add_bos_token", "add_eos_token", "add_prefix_space"):
        config.pop(key, None)
    before = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(before, ByteLevel) and before.add_prefix_space:
        config["add_prefix_space"] = True  # version 4 takes silence for False


def _entry(token: AddedToken) -> dict[str, Any]:
    """Return the entry of a token, which is the same in both files."""
    return {
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
    }


def _broken(folder: Path, error: Exception) -> str:
    return (
        f"the tokenizer in {folder} cannot be read ({error}); one of its files may be missing or "
        "half-written. Expected tokenizer.json and tokenizer_config.json: download or save the "
        "checkpoint again."
    )
