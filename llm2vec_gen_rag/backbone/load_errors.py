"""What can go wrong in loading a base model, in words: a file, an option, or weights left over."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from llm2vec_gen_rag.backbone.facts import embedding_weight, is_tied
from llm2vec_gen_rag.errors import (
    BaseModelError,
    LLM2VecGenError,
    MissingPackageError,
    UnsafeFileError,
)

_GET_IT_AGAIN = (
    "Download it again, or pass base_model= with a folder that has all its files, unchanged."
)


def require_config_files(base_model: str, folder: Path) -> None:
    """Raise an error unless the base model's configs are JSON objects, where there are any.

    `transformers` fails on one that holds another value, and ignores a `generation_config.json`
    that is cut short, with the end tokens in it.

    Args:
        base_model: its name, for the message.
        folder: where its files are.

    Raises:
        BaseModelError: with the file that is not one, whose end tokens are no token ids, or whose
            weights are quantized by a method that transformers does not know, and would ignore.
    """
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            config = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:  # the latter if it is nested too deeply
            raise BaseModelError(_damaged(base_model, f"{path} is not JSON ({error})")) from error
        if not isinstance(config, dict):
            raise BaseModelError(
                _damaged(base_model, f"{path} holds {config!r:.40}, not an object")
            )
        ends = config.get("eos_token_id")
        listed = ends if isinstance(ends, list) else [0 if ends is None else ends]
        if not all(isinstance(end, int) for end in listed):
            raise BaseModelError(
                _damaged(base_model, f"eos_token_id in {path} is {ends!r:.40}, not a token id")
            )
        quantized = config.get("quantization_config")
        method = quantized.get("quant_method") if isinstance(quantized, dict) else None
        if method is not None and str(method) not in AUTO_QUANTIZATION_CONFIG_MAPPING:
            raise BaseModelError(
                f"quant_method in {path} is {method!r:.40}, which transformers "
                f"{transformers.__version__} does not know. Install a version that does, or pass "
                "base_model= with a folder or hub id of the same LLM that is not quantized."
            )


def not_loaded(
    base_model: str, folder: Path, options: Mapping[str, Any], error: Exception
) -> LLM2VecGenError:
    """Return the error for a base model that `transformers` did not load.

    Args:
        base_model: its name.
        folder: where its files are.
        options: those that were given and can be the reason.
        error: of whatever type.

    Returns:
        An `UnsafeFileError` if a file holds code, a `MissingPackageError` if a package is missing,
        else a `BaseModelError`.
    """
    if any(isinstance(cause, pickle.UnpicklingError) for cause in _causes(error)):
        return UnsafeFileError(
            f"the base model {base_model!r} has a weights file that is not a pickle of tensors "
            "alone, so it was refused and nothing in it was run. Do not load it by other means: "
            "get the model again from its publisher, best as safetensors, and pass base_model=."
        )
    given = ", ".join(
        f"{name}={' '.join(repr(value).split()):.80}" for name, value in options.items()
    )
    asked = f" with {given}" if given else ""
    advice = " If it is the option that cannot be met here, leave it out, or install what it needs."
    kind = MissingPackageError if isinstance(error, ImportError) else BaseModelError
    return kind(
        f"the base model {base_model!r} cannot be loaded{asked} ({_reason(error, folder)}). "
        "Expected the frozen LLM of this checkpoint as a hub id, a folder with config.json and "
        "weights, or a GGUF file: pass base_model='<hub id, folder or file>' to "
        "LLM2VecGen.from_pretrained."
        f"{advice if given else ''}"
    )


def require_whole(base_model: str, report: Mapping[str, Iterable[Any]]) -> None:
    """Raise an error unless the weights in the file are exactly those that the config uses.

    Args:
        base_model: its name.
        report: the loading report of `transformers`. It leaves out the weights that its class for
            the LLM ignores on purpose, such as those of multi-token prediction.

    Raises:
        BaseModelError: with how many there are, and one of them.
    """
    if names := sorted(report["missing_keys"]):
        raise BaseModelError(
            f"the base model {base_model!r} lacks {len(names)} of its weights, such as "
            f"{names[0]!r}; expected a whole causal LM. {_GET_IT_AGAIN}"
        )
    if names := sorted(report["unexpected_keys"]):
        raise BaseModelError(
            f"the base model {base_model!r} has {len(names)} weights that its config.json does not "
            f"use, such as {names[0]!r}; expected the config and the weights of one causal LM. "
            f"{_GET_IT_AGAIN} If they belong to another task, save the LLM alone: load it by "
            "AutoModelForCausalLM, and save_pretrained into a folder."
        )
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise BaseModelError(
            f"{name!r} of the base model {base_model!r} has the shape {tuple(found)}, and its "
            f"config.json states {tuple(expected)}. {_GET_IT_AGAIN}"
        )


def require_tied(base_model: str, backbone: PreTrainedModel) -> None:
    """Raise an error if an LLM whose config ties its embeddings was loaded with two that differ.

    Args:
        base_model: its name.
        backbone: the LLM.

    Raises:
        BaseModelError: if so; the vectors would be those of the LLM, the texts would not.
    """
    head: Any = backbone.get_output_embeddings()
    if head is None or not is_tied(backbone):
        return
    weight, tied = head.weight, embedding_weight(backbone)
    if weight is tied or weight.is_meta or tied.is_meta or torch.equal(weight, tied.to(weight)):
        return
    raise BaseModelError(
        f"the base model {base_model!r} has an output matrix of its own, and its config.json says "
        "tie_word_embeddings: true, so that it has none; expected the config and the weights of "
        f"one causal LM. {_GET_IT_AGAIN}"
    )


def _damaged(base_model: str, found: str) -> str:
    return f"the base model {base_model!r} is damaged: {found}. {_GET_IT_AGAIN}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: Exception, folder: Path) -> str:
    """Return what an error says on its first line, and its type where that alone says little."""
    if isinstance(error, KeyError) and error.args and (key := _key_of(error.args[0], folder)):
        return f"transformers {transformers.__version__} does not know {key} {error}"
    lines = str(error).strip().splitlines() or [""]
    said = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return said if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {said}"


def _key_of(value: object, folder: Path) -> str | None:
    """Return the name in config.json that has this value, such as "rope_type"."""
    try:
        pending = [json.loads((folder / "config.json").read_bytes())]
    except (OSError, ValueError, RecursionError):
        return None
    while pending:
        for name, held in pending.pop().items():
            if held == value:
                return str(name)
            if isinstance(held, dict):
                pending.append(held)
    return None
