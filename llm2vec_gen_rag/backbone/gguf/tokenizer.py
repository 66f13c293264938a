"""The tokenizer in a GGUF file, as one of `transformers`: the same ids as llama.cpp.

Byte-level ones (tokenizer.ggml.model "gpt2") merge what a pre-tokenizer has split; SentencePiece
ones ("llama") merge a whole text, best score first. Neither normalises Unicode. Both kinds are
compared with llama.cpp on more than 1,000 texts (tests/backbone/llama_cpp): by the vocabulary of
SmolLM2, and by one that SentencePiece learnt.
"""

from __future__ import annotations

from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from llm2vec_gen_rag.backbone.gguf.config import token_id
from llm2vec_gen_rag.backbone.gguf.file import GGUFFile
from llm2vec_gen_rag.backbone.gguf.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer

# kinds of token: all but the first are found as a whole
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_SPACE = "▁"


def read_tokenizer(file: GGUFFile) -> PreTrainedTokenizerFast:
    """Build the tokenizer in a file.

    Args:
        file: a GGUF file.

    Returns:
        The tokenizer, with the file's special tokens and chat template.

    Raises:
        BaseModelError: if the file has none, or one that is not supported.
    """
    kind = file.get("tokenizer.ggml.model", str)
    tokens = _strings(file, "tokens")
    if kind == "gpt2":
        pre_tokenizer = _pre_tokenizer(file)
        tokenizer = _byte_level(file, tokens, pre_tokenizer)
        adds_bos = pre_tokenizer.adds_bos
    elif kind == "llama":
        tokenizer, adds_bos = _sentence_piece(file, tokens), True
    else:
        raise file.error(
            f"its tokenizer is a {kind!r}; expected 'gpt2' or 'llama'",
            "Pass base_model= with the model's hub id or its folder in the layout of transformers.",
        )
    _add_special_tokens(file, tokenizer, tokens)
    _add_ends(file, tokenizer, tokens, adds_bos=adds_bos)
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {name: token_id(file, stated) for name, stated in names.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=file.get("tokenizer.chat_template", str),
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": tokens[index] for name, index in ids.items() if index is not None},
    )


def _strings(file: GGUFFile, name: str) -> list[str]:
    """Return a list of strings that a tokenizer needs."""
    key = f"tokenizer.ggml.{name}"
    strings: list[str] | None = file.get(key, list)
    if not strings or not isinstance(strings[0], str):
        raise file.error(
            f"it has no {key}, without which there is no tokenizer",
            "Pass base_model= with a file that has one, or load the tokenizer from elsewhere.",
        )
    return strings


def _numbers(file: GGUFFile, name: str, kind: type[int] | type[float]) -> list[Any]:
    """Return a list of numbers; an empty one if the file does not state it."""
    key = f"tokenizer.ggml.{name}"
    numbers: list[Any] = file.get(key, list, [])
    if numbers and type(numbers[0]) is not kind:
        raise file.error(
            f"its {key} begins with {numbers[0]!r:.60}; expected a list of {kind.__name__}"
        )
    return numbers


def _pre_tokenizer(file: GGUFFile) -> PreTokenizer:
    name = file.get("tokenizer.ggml.pre", str)
    if name not in PRE_TOKENIZERS:
        raise file.error(
            f"its tokenizer splits texts as {name!r} does, which is not known here; known are "
            f"{', '.join(PRE_TOKENIZERS)}",
            "Pass base_model= with the model's hub id or its folder in the layout of transformers.",
        )
    return PRE_TOKENIZERS[name]


def _byte_level(file: GGUFFile, tokens: list[str], pre_tokenizer: PreTokenizer) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, _merges(file, vocabulary), ignore_merges=pre_tokenizer.whole_words)
    )
    splits = [
        pre_tokenizers.Split(Regex(expression), "isolated")
        for expression in pre_tokenizer.expressions
    ]
    bytes_of_text = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, bytes_of_text])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merges(file: GGUFFile, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return the merges; refuse one of tokens that the vocabulary lacks."""
    merges = []
    for merge in _strings(file, "merges"):
        end = merge.find(" ", 1)  # a token can begin with the space that parts two
        if end < 0:
            raise file.error(
                f"its tokenizer merges {merge!r:.60}; expected two tokens, as in 'a b'"
            )
        first, second = merge[:end], merge[end + 1 :]
        if not {first, second, first + second} <= vocabulary.keys():
            raise file.error(
                f"its tokenizer merges {first!r:.60} and {second!r:.60}, and lacks a token for it"
            )
        merges.append((first, second))
    return merges


def _sentence_piece(file: GGUFFile, tokens: list[str]) -> Tokenizer:
    scores = _numbers(file, "scores", float)
    if len(scores) != len(tokens):
        raise file.error(f"its tokenizer has {len(scores)} scores for {len(tokens)} tokens")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    unknown = token_id(file, "unknown")
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            _merges_by_score(vocabulary, scores),
            unk_token=tokens[0 if unknown is None else unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces = normalizers.Replace(" ", _SPACE)
    if file.get("tokenizer.ggml.add_space_prefix", bool, True):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), spaces])
    else:
        tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(_SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def _merges_by_score(vocabulary: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """Return all ways to make a token of two others, those of the best token first."""
    merges = [
        (scores[index], token[:end], token[end:])
        for token, index in vocabulary.items()
        for end in range(1, len(token))
        if token[:end] in vocabulary and token[end:] in vocabulary
    ]
    merges.sort(key=lambda merge: merge[0], reverse=True)
    return [(first, second) for _, first, second in merges]


def _add_special_tokens(file: GGUFFile, tokenizer: Tokenizer, tokens: list[str]) -> None:
    """Let the tokenizer find special tokens, and others that are never split."""
    kinds = _numbers(file, "token_type", int)
    if kinds and len(kinds) != len(tokens):
        raise file.error(f"its tokenizer has {len(kinds)} kinds for {len(tokens)} tokens")
    pairs = list(zip(tokens, kinds or [_NORMAL] * len(tokens), strict=True))
    special = [token for token, kind in pairs if kind in (_CONTROL, _UNKNOWN)]
    whole = [token for token, kind in pairs if kind == _USER_DEFINED]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in whole])


def _add_ends(file: GGUFFile, tokenizer: Tokenizer, tokens: list[str], *, adds_bos: bool) -> None:
    """Let texts begin with BOS, or end with EOS, as the file says."""
    asked = {
        "bos": file.get("tokenizer.ggml.add_bos_token", bool, adds_bos),
        "eos": file.get("tokenizer.ggml.add_eos_token", bool, False),
    }
    ids = {name: token_id(file, name) for name, adds in asked.items() if adds}
    # by the names of their parts: a token itself can hold what has a meaning in a template
    added = {
        name: {"id": name, "ids": [index], "tokens": [tokens[index]]}
        for name, index in ids.items()
        if index is not None
    }
    if added:
        template = [name for name in ("bos", "$A", "eos") if name == "$A" or name in added]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=list(added.values())
        )
