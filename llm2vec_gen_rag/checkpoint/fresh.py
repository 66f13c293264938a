"""A checkpoint that was never trained: fresh response tokens and heads for a base model."""

from __future__ import annotations

import copy
import json
import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm2vec_gen_rag.arguments import require_positive
from llm2vec_gen_rag.backbone.facts import base_name, embedding_path, embedding_weight
from llm2vec_gen_rag.backbone.lora import LowRankUpdate, fresh_updates
from llm2vec_gen_rag.checkpoint.adapter import AdapterWeights
from llm2vec_gen_rag.checkpoint.format import Checkpoint
from llm2vec_gen_rag.checkpoint.fresh_adapter import new_layout
from llm2vec_gen_rag.checkpoint.tokenizer_files import add_response_tokens
from llm2vec_gen_rag.prompts import Prompts
from llm2vec_gen_rag.text_tokenizer import TextTokenizer

# spread of fresh response tokens around the mean embedding, in standard deviations of the
# embeddings: near enough to it to be a plausible token, far enough apart to differ
SPREAD = 0.1


def new_checkpoint(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    response_tokens: int,
    compression_tokens: int,
    dimension: int,
    initial_text: str,
    seed: int,
    lora_rank: int,
    lora_alpha: float,
) -> Checkpoint:
    """Return a checkpoint with random weights; see `LLM2VecGen.initialise`.

    Raises:
        ValueError: if a number is not positive, K exceeds N, the tokenizer has response tokens, or
            there is nothing for LoRA to update.
    """
    for name, value in (
        ("response_tokens", response_tokens),
        ("compression_tokens", compression_tokens),
        ("dimension", dimension),
    ):
        require_positive(name, value)
    if lora_rank < 0 or lora_alpha <= 0:
        raise ValueError(
            f"lora_rank is {lora_rank!r} and lora_alpha {lora_alpha!r}; expected a rank of at "
            "least 0, which means no LoRA, and an alpha above 0"
        )
    if compression_tokens > response_tokens:
        raise ValueError(
            f"compression_tokens is {compression_tokens} and response_tokens is {response_tokens}; "
            "expected at most as many: they are the last of them"
        )
    names = [f"<question{number}>" for number in range(1, response_tokens + 1)]
    tokenizer = copy.deepcopy(tokenizer)
    token_ids = add_response_tokens(tokenizer, names)
    generator = torch.Generator().manual_seed(seed)
    embedding = embedding_weight(backbone)
    hidden = embedding.shape[1]
    base = base_name(backbone)
    tokens = _near_the_mean(embedding, response_tokens, generator)
    if initial_text:
        tokens = _of_text(embedding, tokenizer, initial_text, response_tokens)
    reconstruction = _fresh_linear(hidden, hidden, generator)
    alignment = _fresh_linear(hidden, dimension, generator)
    updates: dict[str, LowRankUpdate] = {}
    if lora_rank:
        updates = fresh_updates(
            backbone.base_model, rank=lora_rank, alpha=lora_alpha, generator=generator
        )
    encoder_config = json.loads(backbone.config.to_json_string(use_diff=False))
    return Checkpoint(
        run_config={
            "model_name_or_path": base,
            "torch_dtype": str(embedding.dtype).removeprefix("torch."),
            "special_tokens": names,
            "encoding_mode": f"last_{compression_tokens}_tokens",
            "max_input_length": 512,
        },
        encoder_config={
            **encoder_config,
            "vocab_size": len(tokenizer),
            "num_special_tokens": response_tokens,
        },
        adapter_layout=new_layout(
            type(backbone.base_model), base, embedding_path(backbone), token_ids, updates
        ),
        adapter=AdapterWeights(tokens, updates),
        reconstruction=reconstruction,
        alignment=alignment,
        compression_tokens=compression_tokens,
        tokenizer=tokenizer,
        prompts=Prompts(),
        head_dtypes=(torch.float32, torch.float32),
    )


def _near_the_mean(embedding: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return rows (count, hidden) scattered around the mean of an embedding matrix."""
    rows = embedding.detach().float().cpu()
    noise = torch.randn(count, rows.shape[1], generator=generator)
    return rows.mean(dim=0) + SPREAD * rows.std(dim=0) * noise


def _of_text(
    embedding: Tensor, tokenizer: PreTrainedTokenizerBase, text: str, count: int
) -> Tensor:
    """Return the embeddings, (count, hidden), of a text's last tokens; it is repeated as needed."""
    ids = TextTokenizer(tokenizer).token_ids([text], bos=False)[0].tolist()
    return embedding.detach()[(ids * count)[-count:]].float().cpu()


def _fresh_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a float32 layer initialised as `nn.Linear` does, from a generator of its own."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.requires_grad_(requires_grad=False).parameters():
        parameter.uniform_(-bound, bound, generator=generator)
    return layer
