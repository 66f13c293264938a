"""What a model computes otherwise while it trains than while it embeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llm2vec_gen_rag.backbone.faster_way import usual_ways
from llm2vec_gen_rag.backbone.laid_out import lay_back
from llm2vec_gen_rag.cpu import reuse_buffers
from llm2vec_gen_rag.model import LLM2VecGen
from llm2vec_gen_rag.training.config import Recipe


@contextmanager
def training_mode(model: LLM2VecGen, recipe: Recipe) -> Iterator[None]:
    """Switch a model to training inside the block, and back.

    On a CPU, a step reuses the buffers of the one before it, and layers that run the LLM's own
    forward use eager attention, which is faster there under gradient. With LoRA, dropout is on. No
    kernel is taken by measurement, and no matrix is laid out: a run that goes on with another ends
    where that would have.
    """
    lay_back(model.backbone)
    configured = model.backbone.config._attn_implementation
    if model.device.type == "cpu":
        model.backbone.set_attn_implementation("eager")
    if model.adapter is not None:
        model.adapter.dropout = recipe.lora_dropout
    try:
        with usual_ways, reuse_buffers(model.backbone.base_model):
            yield
    finally:
        model.backbone.set_attn_implementation(configured)
        if model.adapter is not None:
            model.adapter.dropout = 0.0
