"""A tokenizer that reads texts as its `tokenizer.json` says, whichever version of transformers.

Version 5 rebuilds many tokenizers from the vocabulary and the name of their class, and drops what
else the file holds: of SmolLM2's, that digits are read one by one. Version 4 reads the file. An LLM
was trained on the ids of the file, so it is read here as it is, and what version 4 lets
`tokenizer_config.json` change in it is changed: added tokens, BOS, EOS and the space in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils.hub import cached_file

from llm2vec_gen_rag.text_tokenizer import switch_off_sampling

_FILE = "tokenizer.json"
# the classes that obey add_bos_token and add_eos_token in transformers 4, and their add_bos_token
# where only the other one is stated
_OBEYS_ENDS = {
    "LlamaTokenizer": True,
    "CodeLlamaTokenizer": True,
    "GemmaTokenizer": True,
    "CohereTokenizer": True,
    "GPTNeoXTokenizer": False,
}


def load_pretrained_tokenizer(
    name: str | Path, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or the hub, with the ids of its `tokenizer.json`.

    Args:
        name: a folder or a hub id.
        trust_remote_code: whether code from there may run; a tokenizer's own code decides the ids.

    Returns:
        The tokenizer, without subword sampling.
    """
    loader: Any = AutoTokenizer
    loaded = loader.from_pretrained(name, trust_remote_code=trust_remote_code)
    tokenizer: PreTrainedTokenizerBase = loaded
    if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
        return tokenizer  # a Python one, which `TextTokenizer` refuses by its name
    file = _file(name)
    if file is not None and type(tokenizer).__module__.startswith("transformers."):
        loaded._tokenizer = _as_in_file(file, loaded, get_tokenizer_config(name))
    switch_off_sampling(loaded.backend_tokenizer)
    return tokenizer


def _file(name: str | Path) -> str | None:
    """Return the path of what was loaded just now; None if it is in files of another kind."""
    found: str | None = cached_file(
        name,
        _FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return found


def _as_in_file(file: str, tokenizer: Any, config: Mapping[str, Any]) -> Tokenizer:
    """Return what the file holds, changed by what `tokenizer_config.json` states."""
    backend: Tokenizer = Tokenizer.from_file(file)
    backend.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens
    held = {token.content for token in backend.get_added_tokens_decoder().values()}
    stated = {str(index) for index in config.get("added_tokens_decoder", {})}
    backend.add_tokens(
        [
            token
            for index, token in sorted(tokenizer.added_tokens_decoder.items())
            if token.content not in held or str(index) in stated
        ]
    )
    _set_space_in_front(backend, config)
    _set_ends(backend, tokenizer, config)
    return backend


def _set_space_in_front(backend: Tokenizer, config: Mapping[str, Any]) -> None:
    """Set whether a text is read as if a space preceded it, if the config says so."""
    stated = config.get("add_prefix_space")
    before = backend.pre_tokenizer
    if isinstance(before, pre_tokenizers.ByteLevel) and isinstance(stated, bool):
        before.add_prefix_space = stated


def _set_ends(backend: Tokenizer, tokenizer: Any, config: Mapping[str, Any]) -> None:
    """Set whether BOS and EOS are added, if the config says so and its class obeys it."""
    kind = config.get("tokenizer_class") or type(tokenizer).__name__
    kind = kind.removesuffix("Fast")
    bos, eos = config.get("add_bos_token"), config.get("add_eos_token")
    if kind not in _OBEYS_ENDS or bos is eos is None:
        return
    first = tokenizer.bos_token if (_OBEYS_ENDS[kind] if bos is None else bos) else None
    last = tokenizer.eos_token if eos else None
    one, two = (
        [f"{token}:{segment}" for token in (first, f"${text}", last) if token is not None]
        for segment, text in enumerate("AB")
    )
    added = {token: backend.token_to_id(token) for token in (first, last) if token is not None}
    backend.post_processor = processors.TemplateProcessing(
        single=one, pair=one + two, special_tokens=list(added.items())
    )
