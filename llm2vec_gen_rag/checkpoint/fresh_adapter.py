"""How the adapter of a checkpoint that was never saved is laid out, as PEFT would lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from llm2vec_gen_rag.backbone.lora import LowRankUpdate
from llm2vec_gen_rag.checkpoint.adapter import DELTA, PLAIN_LORA, PREFIX, AdapterLayout


def new_layout(
    base_class: type[nn.Module],
    base_name: str,
    embedding: str,
    token_ids: Sequence[int],
    updates: Mapping[str, LowRankUpdate],
) -> AdapterLayout:
    """Return the layout of response tokens, and of LoRA, that no file holds yet.

    Args:
        base_class: the class of the LLM without its output layer.
        base_name: where the LLM is found.
        embedding: path of its input embedding, such as "embed_tokens".
        token_ids: the tokenizer's id of each response token.
        updates: low-rank update by path of its layer, all of one rank; empty without LoRA.
    """
    config = {
        "auto_mapping": {
            "base_model_class": base_class.__name__,
            "parent_library": base_class.__module__,
        },
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "revision": None,
        "task_type": None,
    }
    rows = tuple(range(len(token_ids)))
    if not updates:
        config |= {
            "init_weights": True,
            "peft_type": "TRAINABLE_TOKENS",
            "target_modules": embedding,
            "token_indices": list(token_ids),
        }
        return AdapterLayout(dict(sorted(config.items())), rows, f"{PREFIX}{embedding}.{DELTA}")
    config |= _lora_config(updates) | {"trainable_token_indices": {embedding: list(token_ids)}}
    delta = f"{PREFIX}{embedding}.token_adapter.{DELTA}"
    return AdapterLayout(dict(sorted(config.items())), rows, delta)


def _lora_config(updates: Mapping[str, LowRankUpdate]) -> dict[str, Any]:
    """Return what an adapter config says of plain LoRA; what it leaves out is PEFT's default."""
    update = next(iter(updates.values()))
    rank = len(update.down)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": round(update.scaling * rank, 6),
        "target_modules": sorted({path.rpartition(".")[2] for path in updates}),
        **PLAIN_LORA,
    }
