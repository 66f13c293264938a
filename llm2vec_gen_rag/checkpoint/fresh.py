"""Make a checkpoint that was never trained: fresh response tokens, heads and LoRA for an LLM."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.backbone.facts import base_name, embedding_path, embedding_weight
from llm2vec_gen_rag.backbone.lora import LowRankUpdate
from llm2vec_gen_rag.checkpoint.adapter import (
    DELTA,
    PLAIN_LORA,
    PREFIX,
    AdapterLayout,
    AdapterWeights,
)
from llm2vec_gen_rag.checkpoint.format import Checkpoint
from llm2vec_gen_rag.checkpoint.initialisation import Initialisation
from llm2vec_gen_rag.checkpoint.tokenizer_files import add_response_tokens
from llm2vec_gen_rag.prompts import Prompts
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

# standard deviation of fresh response tokens around the mean embedding, in that of the embeddings:
# near enough to the mean to be a plausible token, far enough apart to differ
SPREAD = 0.1
# the layers that LoRA updates in the reference package
LORA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def new_checkpoint(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dimension: int,
    initialisation: Initialisation,
) -> Checkpoint:
    """Make a checkpoint with random weights for an LLM.

    Args:
        backbone: the LLM.
        tokenizer: its own; a copy gets the response tokens.
        dimension: length of an embedding.
        initialisation: sizes and initial values.

    Returns:
        The checkpoint, its heads in float32.

    Raises:
        ValueError: if the dimension is not positive, the tokenizer already has response tokens, or
            the LLM has no layer that LoRA updates.
    """
    require_positive("dimension", dimension)
    names = [f"<question{number}>" for number in range(1, initialisation.response_tokens + 1)]
    tokenizer = copy.deepcopy(tokenizer)
    token_ids = add_response_tokens(tokenizer, names)
    hidden = embedding_weight(backbone).shape[1]
    # the order of these four draws is part of what a seed means
    generator = torch.Generator().manual_seed(initialisation.seed)
    tokens = _fresh_response_tokens(backbone, tokenizer, initialisation, generator)
    reconstruction = _fresh_linear(hidden, hidden, generator)
    alignment = _fresh_linear(hidden, dimension, generator)
    updates = _fresh_updates(backbone.base_model, initialisation, generator)
    return Checkpoint(
        run_config=_run_config(backbone, names, initialisation.compression_tokens),
        encoder_config=_encoder_config(backbone, len(tokenizer), len(names)),
        adapter_layout=_fresh_layout(backbone, token_ids, updates),
        adapter=AdapterWeights(tokens, updates),
        reconstruction=reconstruction,
        alignment=alignment,
        compression_tokens=initialisation.compression_tokens,
        tokenizer=tokenizer,
        prompts=Prompts(),
        head_dtypes=(torch.float32, torch.float32),
    )


def _fresh_response_tokens(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    initialisation: Initialisation,
    generator: torch.Generator,
) -> Tensor:
    """Return (N, hidden) float32: the embeddings of the initial text, else rows near the mean."""
    count = initialisation.response_tokens
    embeddings = embedding_weight(backbone).detach().float().cpu()
    # drawn in either case, so that the heads are the same with an initial text and without
    shape = (count, embeddings.shape[1])
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    if not initialisation.initial_text:
        return embeddings.mean(dim=0) + SPREAD * embeddings.std(dim=0) * noise
    ids = TextTokenizer(tokenizer).token_ids([initialisation.initial_text], bos=False)[0].tolist()
    return embeddings[(ids * count)[-count:]]


def _fresh_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a float32 layer initialised as `nn.Linear` does, from a generator of its own."""
    layer = nn.Linear(inputs, outputs, device="meta", dtype=torch.float32).to_empty(device="cpu")
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.requires_grad_(requires_grad=False).parameters():
        parameter.uniform_(-bound, bound, generator=generator)
    return layer


def _fresh_updates(
    transformer: nn.Module, initialisation: Initialisation, generator: torch.Generator
) -> dict[str, LowRankUpdate]:
    """Return low-rank updates that change nothing yet: A is drawn as `nn.Linear` does, B is zero.

    Raises:
        ValueError: if LoRA is asked for and the LLM has none of the `LORA_LAYERS`.
    """
    rank, alpha = initialisation.lora_rank, initialisation.lora_alpha
    updates: dict[str, LowRankUpdate] = {}
    if rank == 0:
        return updates
    for path, layer in transformer.named_modules():
        if isinstance(layer, nn.Linear) and path.rpartition(".")[2] in LORA_LAYERS:
            bound = 1 / math.sqrt(layer.in_features)
            down = torch.empty(rank, layer.in_features, dtype=torch.float32)
            down.uniform_(-bound, bound, generator=generator)
            up = torch.zeros(layer.out_features, rank, dtype=torch.float32)
            updates[path] = LowRankUpdate(nn.Parameter(down), nn.Parameter(up), alpha / rank)
    if not updates:
        raise ValueError(
            f"a {type(transformer).__name__} has no linear layer named {', '.join(LORA_LAYERS)}, "
            "which LoRA updates; train without it: lora_rank 0"
        )
    return updates


def _run_config(
    backbone: PreTrainedModel, names: list[str], compression_tokens: int
) -> dict[str, Any]:
    """Return `run_config.yml`."""
    return {
        "model_name_or_path": base_name(backbone),
        "torch_dtype": str(embedding_weight(backbone).dtype).removeprefix("torch."),
        "special_tokens": names,
        "encoding_mode": f"last_{compression_tokens}_tokens",
        "max_input_length": 512,
    }


def _encoder_config(
    backbone: PreTrainedModel, vocabulary: int, response_tokens: int
) -> dict[str, Any]:
    """Return `encoder/config.json`: the LLM's own, with the response tokens counted."""
    config: dict[str, Any] = json.loads(backbone.config.to_json_string(use_diff=False))
    return {**config, "vocab_size": vocabulary, "num_special_tokens": response_tokens}


def _fresh_layout(
    backbone: PreTrainedModel, token_ids: Sequence[int], updates: Mapping[str, LowRankUpdate]
) -> AdapterLayout:
    """Return the layout that PEFT would give these response tokens and low-rank updates."""
    transformer = type(backbone.base_model)
    embedding = embedding_path(backbone)
    config: dict[str, Any] = {
        "auto_mapping": {
            "base_model_class": transformer.__name__,
            "parent_library": transformer.__module__,
        },
        "base_model_name_or_path": base_name(backbone),
        "inference_mode": True,
        "revision": None,
        "task_type": None,
    }
    if updates:
        config |= _lora_config(updates)
        config["trainable_token_indices"] = {embedding: list(token_ids)}
        delta = f"{PREFIX}{embedding}.token_adapter.{DELTA}"
    else:
        config |= {
            "init_weights": True,
            "peft_type": "TRAINABLE_TOKENS",
            "target_modules": embedding,
            "token_indices": list(token_ids),
        }
        delta = f"{PREFIX}{embedding}.{DELTA}"
    return AdapterLayout(dict(sorted(config.items())), tuple(range(len(token_ids))), delta)


def _lora_config(updates: Mapping[str, LowRankUpdate]) -> dict[str, Any]:
    """Return what `adapter_config.json` says of plain LoRA; PEFT's defaults are left out."""
    update = next(iter(updates.values()))
    rank = len(update.down)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": round(update.scaling * rank, 6),
        "target_modules": sorted({path.rpartition(".")[2] for path in updates}),
        **PLAIN_LORA,
    }
