"""What training switches in a model while it trains, and switches back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llm2vec_gen_rag.cpu.buffers import reuse_buffers
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe


@contextmanager
def training_mode(model: LLM2VecGen, recipe: Recipe) -> Iterator[None]:
    """Switch to what training computes faster or otherwise than embedding, and back.

    On a CPU that is memory that one step leaves to the next, and for layers that run by the LLM's
    own forward eager attention, which is faster there under gradient; with LoRA, its dropout.
    """
    configured = model.backbone.config._attn_implementation
    if model.device.type == "cpu":
        model.backbone.set_attn_implementation("eager")
    if model.adapter is not None:
        model.adapter.dropout = recipe.lora_dropout
    try:
        with reuse_buffers(model.backbone.base_model):
            yield
    finally:
        model.backbone.set_attn_implementation(configured)
        if model.adapter is not None:
            model.adapter.dropout = 0.0
