"""The frozen LLM: how it is loaded, and what is asked of a loaded one."""

from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone, pick_device, pick_dtype

__all__ = ["BackboneOptions", "load_backbone", "pick_device", "pick_dtype"]
