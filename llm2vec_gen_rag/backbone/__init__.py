"""The frozen LLM: how it is loaded, and what is asked of a loaded one."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm2vec_gen_rag.backbone.base_tokenizer import load_base_tokenizer
    from llm2vec_gen_rag.backbone.device import pick_device, pick_dtype
    from llm2vec_gen_rag.backbone.loading import BackboneOptions, load_backbone

_MODULES = {
    "BackboneOptions": "loading",
    "load_backbone": "loading",
    "load_base_tokenizer": "base_tokenizer",
    "pick_device": "device",
    "pick_dtype": "device",
}
__all__ = ["BackboneOptions", "load_backbone", "load_base_tokenizer", "pick_device", "pick_dtype"]


def __getattr__(name: str) -> object:
    """Import torch when one of the names is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
