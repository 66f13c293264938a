"""The frozen LLM: load it, and ask a loaded one for facts."""

from llm2vec_gen_rag.backbone.device import pick_device, pick_dtype
from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone

__all__ = ["BackboneOptions", "load_backbone", "pick_device", "pick_dtype"]
