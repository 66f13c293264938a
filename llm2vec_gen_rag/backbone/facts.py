"""What is asked of a loaded frozen LLM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel


def freeze(backbone: nn.Module) -> None:
    """Switch off gradients and dropout."""
    backbone.requires_grad_(requires_grad=False)
    backbone.eval()


def embedding_weight(backbone: PreTrainedModel) -> Tensor:
    """Return the input embedding, (vocabulary, hidden)."""
    embedding: Any = backbone.get_input_embeddings()
    weight: Tensor = embedding.weight
    return weight


def is_tied(backbone: PreTrainedModel) -> bool:
    """Return whether the config says that the input embedding is the output matrix, too."""
    return bool(backbone.config.get_text_config().tie_word_embeddings)


def embedding_path(backbone: PreTrainedModel) -> str:
    """Return the path of the input embedding inside the LLM without its output layer."""
    embedding: nn.Module = backbone.get_input_embeddings()
    modules: Iterable[tuple[str, nn.Module]] = backbone.base_model.named_modules()
    return next(path for path, module in modules if module is embedding)


def base_name(backbone: PreTrainedModel) -> str:
    """Return where a loaded LLM came from: a hub id, or the absolute path of a folder or file."""
    name = str(backbone.config._name_or_path)
    return str(Path(name).resolve()) if Path(name).exists() else name


def end_token_ids(backbone: PreTrainedModel) -> frozenset[int]:
    """Return every token id that ends what the LLM writes."""
    ends: set[int] = set()
    for config in (backbone.generation_config, backbone.config):
        stated: int | list[int] | None = getattr(config, "eos_token_id", None)
        if isinstance(stated, int):
            ends.add(stated)
        else:
            ends.update(stated or [])
    return frozenset(ends)


def has_full_attention(backbone: PreTrainedModel) -> bool:
    """Return whether every layer attends to the whole past, and not to a sliding window of it.

    Then a mask hides padding in the KV cache, wherever it is; a window would count it.
    """
    config = backbone.config
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return getattr(config, "sliding_window", None) is None
    return set(kinds) == {"full_attention"}


def position_limit(backbone: PreTrainedModel) -> int | None:
    """Return how many tokens an LLM with a table of positions can read, such as GPT-2 or OPT.

    None where positions are computed for any length: rotary ones from their frequencies, and where
    the config states no number. A rotary LLM also reads past the length that it was trained for.
    """
    if any(name.endswith("inv_freq") for name, _ in backbone.named_buffers()):
        return None
    return context_window(backbone)


def context_window(backbone: PreTrainedModel) -> int | None:
    """Return how many tokens the config says that an LLM reads; None if it states no number."""
    config = backbone.config.get_text_config()
    for name in ("max_position_embeddings", "max_seq_len"):
        limit: int | None = getattr(config, name, None)
        if limit is not None:
            return limit
    return None
