"""The frozen LLM: how it is loaded, and what is asked of a loaded one."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm2vec_gen_rag.backbone.device import pick_device, pick_dtype
    from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone

__all__ = ["BackboneOptions", "load_backbone", "pick_device", "pick_dtype"]


def __getattr__(name: str) -> object:
    """Import torch when one of the names is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "device" if name.startswith("pick_") else "loading"
    return getattr(import_module(f"{__name__}.{module}"), name)
