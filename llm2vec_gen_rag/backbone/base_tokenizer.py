"""The tokenizer of the frozen LLM itself, from where the LLM is."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.backbone.gguf.location import find_gguf
from llm2vec_gen_rag.backbone.gguf.tokenizer import read_tokenizer
from llm2vec_gen_rag.backbone.pretrained_tokenizer import load_pretrained_tokenizer


def load_base_tokenizer(base_model: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a base model.

    Args:
        base_model: a hub id, a folder, or a GGUF file as `load_backbone` reads it.

    Returns:
        The tokenizer.

    Raises:
        BaseModelError: if it is a GGUF file that is damaged, or whose tokenizer is missing or not
            supported.
        MissingExtraError: if it is a GGUF file, and the extra "gguf" is not installed.
    """
    path = find_gguf(base_model)
    if path is not None:
        return read_tokenizer(GGUFFile.read(path))
    return load_pretrained_tokenizer(base_model)
